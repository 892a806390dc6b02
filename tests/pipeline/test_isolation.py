"""No answer is shared between two systems of different weights, whatever else they share."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.model import CachingLM
from safetensors.torch import load_file, save_file

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import CompositionError, RunError
from selfmoe.contracts.records import Source, System
from selfmoe.evaluation import harness
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.mixture.adapters import adapter_hash
from selfmoe.mixture.systems import attach_system
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.plan import Plan
from selfmoe.registry.registry import registry
from selfmoe.store.files import damage
from selfmoe.testing.models import random_adapter, tiny_base, tiny_llama, tiny_tokenizer

TWINS = {
    "ties": {"merge": "ties"},
    "same": {"merge": "ties"},
    "other": {"merge": "ties", "options": {"density": 0.3}},
    "mixse": {"router": "topk", "options": {"max_steps": 1}},
    "wide": {"router": "topk", "options": {"max_steps": 1, "k": 2}},
}


def swap(path: Path) -> None:
    """Replace weights by others of the same names and shapes."""
    tensors = {name: tensor.flip(0).contiguous() for name, tensor in load_file(path).items()}
    save_file(tensors, path, {"format": "pt"})


@pytest.fixture(scope="module")
def place(
    tiny_base_folder: Path, plugin_code: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with a base of its own, a plugin, and a run that is finished."""
    folder = tmp_path_factory.mktemp("isolation")
    shutil.copytree(tiny_base_folder, folder / "base")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    selfmoe.run(config(folder))
    return folder


def config(folder: Path, **changes: Any) -> selfmoe.RunConfig:
    return resolve(
        {
            "base": str(folder / "base"),
            "device": "cpu",
            "plugin_dir": str(folder),
            "domains": ["anything", "whatever"],
            "out": str(folder / "run"),
            "seeds": {"n": 5},
            "brainstorm": {"n": 8, "max_new_tokens": 8},
            "respond": {"max_new_tokens": 8},
            "specialise": {"options": {"max_steps": 1, "r": 2}},
            "compose": TWINS,
            "evaluate": {"limit": 2, "base_shots": 0},
            **changes,
        }
    )


def evaluations(plan: Plan) -> dict[str, str]:
    """Return the folder of the answers by system and benchmark."""
    return {task.name: str(task.cell.path) for task in plan.tasks if task.stage == "evaluate"}


# --- cells and their keys ------------------------------------------------------------------------


def test_every_system_has_answers_of_its_own(place: Path) -> None:
    (plan,) = make_plans(config(place))
    found = evaluations(plan)
    systems = {"base", "expert-anything", "expert-whatever", *TWINS}
    assert {name.split()[1].split("/")[0] for name in found} == systems
    for one, other in itertools.combinations(found, 2):
        assert found[one] != found[other], (one, other)
        assert Path(found[one]).name.split("@")[1] != Path(found[other]).name.split("@")[1]


def test_pipelines_of_two_seeds_share_the_answers_of_the_base_only(place: Path) -> None:
    one, two = (evaluations(plan) for plan in make_plans(config(place, seed=[0, 1])))
    assert one.keys() == two.keys()
    for name in one:
        assert (one[name] == two[name]) == (name.split()[1].split("/")[0] == "base"), name


def test_a_base_swapped_under_the_same_path_is_noticed(place: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(place, tmp_path / "copy"))
    (before,) = make_plans(config(folder))
    assert all(task.problem() is None for task in before.tasks if task.stage == "seeds")
    run = Path(shutil.copytree(place / "run", tmp_path / "run"))
    swap(folder / "base" / "model.safetensors")
    (after,) = make_plans(config(folder))
    old, new = ({task.name: task.cell.key for task in plan.tasks} for plan in (before, after))
    assert {name for name in old if old[name] == new[name]} == {
        name for name in old if name.startswith("seeds ")
    }
    assert all(task.problem() for task in after.tasks if task.stage != "seeds")
    manifest = run / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(place / "base"), str(folder / "base")))
    with pytest.raises(RunError, match="is not the one this run was made with"):
        selfmoe.load(run, "mixse")


def test_adapters_of_one_configuration_and_other_weights_differ(tmp_path: Path) -> None:
    one, two = (random_adapter(tiny_llama(), tmp_path / str(s), seed=s) for s in (0, 1))
    settings = [(path / "adapter_config.json").read_bytes() for path in (one, two)]
    assert settings[0] == settings[1]
    assert adapter_hash(one) != adapter_hash(two)


def test_experts_that_trade_places_are_noticed(place: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(place / "run", tmp_path / "run"))
    (one,), (two,) = (list(run.glob(f"experts/{name}@*")) for name in ("anything", "whatever"))
    assert one.name.split("@")[1] != two.name.split("@")[1]
    file = "adapter_model.safetensors"
    content = (one / file).read_bytes()
    shutil.copyfile(two / file, one / file)
    (two / file).write_bytes(content)
    assert "sha256 differs" in str(damage(one))
    assert "sha256 differs" in str(damage(two))
    for system in ("expert-anything", "mixse"):
        with pytest.raises(selfmoe.SelfmoeError, match="anything"):
            selfmoe.load(run, system)


@pytest.mark.parametrize(("label", "kind"), [("mixse", "router"), ("ties", "merge")])
def test_compositions_of_another_base_are_refused(place: Path, label: str, kind: Any) -> None:
    (cell,) = (place / "run").glob(f"compositions/{label}@*")
    base = tiny_base()
    with pytest.raises(CompositionError, match="was composed on base"):
        attach_system(base, System(label, kind), cell, registry())
    assert not hasattr(base.model, "mixture")


# --- within one process --------------------------------------------------------------------------


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[Any, str], list[str]]:
    """Return what asks a model the first items of a benchmark, with a work folder by name."""
    domain = registry().configure("domain", "math")
    benchmark = domain.benchmarks(Source("mini", None, "test"))[0]

    def answers(model: Any, name: str) -> list[str]:
        _, rows = evaluate(
            model,
            tiny_tokenizer(),
            benchmark,
            Setup(limit=2),
            benchmark_id="math/mini",
            context=512,
            work=tmp_path / name,
        )
        return [row["completion"] for row in rows]

    return answers


def test_two_models_in_one_process_answer_for_themselves(ask: Callable[..., list[str]]) -> None:
    one, two = tiny_llama(seed=0), tiny_llama(seed=1)
    first = ask(one, "a")
    assert ask(two, "b") != first
    assert ask(one, "c") == first


def test_the_cache_of_the_harness_is_never_used(
    ask: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = harness.evaluate

    def watched(*arguments: Any, **options: Any) -> Any:
        assert not arguments
        seen.append(options)
        return real(**options)

    def refuse(*arguments: Any, **options: Any) -> None:
        pytest.fail("lm-eval's cache was used; it is not keyed by the model's weights")

    monkeypatch.setattr(harness, "evaluate", watched)
    monkeypatch.setattr("lm_eval.api.model.CachingLM.__init__", refuse)
    monkeypatch.setattr("lm_eval.api.task.load_from_cache", refuse)
    monkeypatch.setattr("lm_eval.api.task.save_to_cache", refuse)
    ask(tiny_llama(), "a")
    assert seen
    for options in seen:
        assert type(options["lm"]) is harness.HarnessModel
        assert options["lm"].cache_hook.dbdict is None
        assert not set(options) & {"use_cache", "cache_requests", "rewrite_requests_cache"}


def test_the_cache_of_the_harness_would_share_answers(
    ask: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason it must stay off: with it the second model is never asked."""
    first, second = ask(tiny_llama(seed=0), "a"), ask(tiny_llama(seed=1), "b")
    real = harness.evaluate

    def cached(lm: Any, **options: Any) -> Any:
        return real(lm=CachingLM(lm, str(tmp_path / "cache.db")), **options)

    monkeypatch.setattr(harness, "evaluate", cached)
    assert ask(tiny_llama(seed=0), "c") == first
    assert ask(tiny_llama(seed=1), "d") == first != second


@torch.no_grad()
def test_systems_of_one_run_answer_differently(place: Path) -> None:
    found = {}
    for system in ("base", "expert-anything", "expert-whatever", "ties", "other", "mixse", "wide"):
        model, tokenizer = selfmoe.load(place / "run", system)
        found[system] = model(**tokenizer("Double 21.", return_tensors="pt")).logits
    for one, other in itertools.combinations(found, 2):
        assert not torch.equal(found[one], found[other]), (one, other)
