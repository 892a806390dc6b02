"""Compositions on disk: the same bits back, or a reason why not."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import FACTS, TENSORS, read_composition, references, write_composition
from selfmoe.testing.composers import assert_same
from selfmoe.testing.models import random_adapter, tiny_llama
from selfmoe_router_topk import TopK


@pytest.fixture
def model():
    return tiny_llama()


@pytest.fixture
def run(model, tmp_path):
    """Return a folder with two experts and a composition that names them."""
    folder = tmp_path / "run"
    experts = {
        name: Expert(name, random_adapter(model, folder / "experts" / name, seed=i))
        for i, name in enumerate(("math", "coding"))
    }
    own = random_adapter(model, folder / "own", r=2)
    made = Composition(
        "topk",
        TopK().options.model_dump(mode="json"),
        references(experts),
        {"theta": torch.randn(3, 32), "odd": torch.randn(2, 3).bfloat16()},
        {"extra": own},
        {"loss": 1.5},
    )
    write_composition(made, folder / "mixse", base_hash="base")
    return folder, made, experts


def test_round_trip_is_bit_exact(run):
    folder, made, experts = run
    loaded = read_composition(folder / "mixse", base_hash="base", experts=experts)
    assert_same(made, loaded)
    assert loaded.owned["extra"].is_relative_to(folder / "mixse")


def test_routes_the_same_after_loading(run, model):
    folder, made, experts = run
    ids = torch.arange(12)[None]
    made.tensors.pop("odd")
    write_composition(made, folder / "again", base_hash="base")
    loaded = read_composition(folder / "again", base_hash="base")
    known = {ref.name: Expert(ref.name, ref.path) for ref in loaded.experts}
    known = {name: Expert(name, experts[name].path) for name in known}
    logits = []
    for composition in (made, loaded):
        with attach(model, TopK(), composition, known), torch.no_grad():
            logits.append(model(ids).logits)
    assert torch.equal(*logits)


def test_a_moved_run_is_found(run, tmp_path):
    folder, made, _ = run
    moved = folder.rename(tmp_path / "elsewhere")
    loaded = read_composition(moved / "mixse", base_hash="base")
    assert [ref.hash for ref in loaded.experts] == [ref.hash for ref in made.experts]
    assert all(str(moved) in ref.path for ref in loaded.experts)
    assert "/" not in json.loads((moved / "mixse" / FACTS).read_text())["experts"][0]["path"][:2]


class TestRefusals:
    def test_wrong_base(self, run):
        with pytest.raises(CompositionError, match="on base base, not on other"):
            read_composition(run[0] / "mixse", base_hash="other")

    def test_changed_order(self, run):
        folder, _, experts = run
        turned = dict(reversed(experts.items()))
        with pytest.raises(CompositionError, match="in another order: math, coding; given: coding"):
            read_composition(folder / "mixse", base_hash="base", experts=turned)

    def test_unknown_expert(self, run):
        folder, _, experts = run
        others = {"math": experts["math"], "law": experts["coding"]}
        with pytest.raises(CompositionError, match="from other experts"):
            read_composition(folder / "mixse", base_hash="base", experts=others)

    @pytest.mark.parametrize("given", [True, False])
    def test_changed_expert(self, run, model, given):
        folder, _, experts = run
        random_adapter(model, experts["coding"].path, seed=9)
        with pytest.raises(CompositionError, match="expert 'coding' has changed"):
            read_composition(folder / "mixse", base_hash="base", experts=experts if given else None)

    def test_missing_expert(self, run):
        folder, _, experts = run
        shutil.rmtree(experts["coding"].path)
        with pytest.raises(CompositionError, match="expert 'coding' is missing"):
            read_composition(folder / "mixse", base_hash="base")

    def test_changed_owned_adapter(self, run, model):
        folder = run[0] / "mixse"
        random_adapter(model, folder / "adapters" / "extra", r=2, seed=9)
        with pytest.raises(CompositionError, match="adapter 'extra' has changed"):
            read_composition(folder, base_hash="base")

    def test_damaged_tensors(self, run):
        file = run[0] / "mixse" / TENSORS
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(CompositionError, match="damaged"):
            read_composition(run[0] / "mixse", base_hash="base")

    def test_no_composition(self, tmp_path):
        with pytest.raises(CompositionError, match="holds no composition"):
            read_composition(tmp_path, base_hash="base")

    def test_name_that_is_no_folder(self, run, tmp_path):
        made = Composition("x", {}, (), owned={"../up": run[0] / "own"})
        with pytest.raises(CompositionError, match="cannot be the name of a folder"):
            write_composition(made, tmp_path / "x", base_hash="base")
