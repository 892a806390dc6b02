"""``selfmoe merge``: what is written is what selfmoe computes, read without selfmoe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import selfmoe
from selfmoe.contracts.composer import Merge
from selfmoe.contracts.errors import (
    CompositionError,
    ConfigError,
    NotSupportedError,
    RunError,
    UnknownNameError,
)
from selfmoe.contracts.records import Composition
from selfmoe.mixture.adapters import Factors, described, read_factors, write_adapter
from selfmoe.models.base import BaseFiles
from selfmoe.outward import checking
from selfmoe.outward.delta import deltas_of, low_rank
from selfmoe.outward.merging.merge import address
from selfmoe.outward.merging.model import RECORD
from selfmoe.testing.models import (
    GPT2_TARGETS,
    random_adapter,
    tiny_gpt2,
    tiny_llama,
    tiny_tokenizer,
)

IDS = torch.arange(40).reshape(2, 20)


def save(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits.float()


def load(folder: Path, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)


def with_lora(base: Path, folder: Path):
    return peft.PeftModel.from_pretrained(load(base), folder)


def close(one: torch.Tensor, other: torch.Tensor, share: float = 1e-5) -> bool:
    return bool((one - other).abs().max() <= share * other.abs().max())


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = save(tiny_llama(num_hidden_layers=2), tmp_path_factory.mktemp("bases") / "llama")
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    (folder / "LICENSE").write_text("as you like")
    return folder


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory) -> dict[str, Path]:
    """Return two adapters that have no rank, scale or set of layers in common."""
    room = tmp_path_factory.mktemp("adapters")
    model = tiny_llama(num_hidden_layers=2)
    patterns = {"alpha_pattern": {"q_proj": 3.0}, "rank_pattern": {"down_proj": 5}}
    few = ["q_proj", "down_proj"]
    return {
        "law": random_adapter(model, room / "law", r=2, seed=1),
        "tax": random_adapter(
            model, room / "tax", r=3, seed=2, rslora=True, targets=few, options=patterns
        ),
    }


@pytest.mark.parametrize(
    ("method", "options"),
    [("ties", {"density": 0.2}), ("dare", {"density": 0.4}), ("mean", {}), ("ties", {"rank": 2})],
)
def test_a_model_is_what_compose_makes(base, adapters, tmp_path, method, options):
    made = selfmoe.merge(
        adapters, base=base, method=method, options=options, out=tmp_path / "out", seed=3
    )
    expected = selfmoe.compose(load(base), adapters, merge=method, options=options, seed=3)
    assert torch.equal(logits(load(made.path)), logits(expected))
    assert (made.off, made.moved, made.dtype, made.layers) == (0.0, 0.0, "float32", 14)


def test_a_model_has_all_that_its_base_has(base, adapters, tmp_path):
    made = selfmoe.merge(adapters, base=base, method="mean", out=tmp_path / "out")
    names = {path.name for path in made.path.iterdir()}
    assert names == {path.name for path in base.iterdir()} | {RECORD}
    changed = {
        n for n in names if n != RECORD and (base / n).read_bytes() != (made.path / n).read_bytes()
    }
    assert changed <= {"model.safetensors", "config.json"}
    assert AutoTokenizer.from_pretrained(made.path)("a b").input_ids
    record = json.loads((made.path / RECORD).read_text())
    assert record["adapters"]["tax"]["rank"] == 5
    assert (record["method"], record["seed"], record["base_hash"]) == ("mean", 0, made.base_hash)


def test_a_model_keeps_the_number_format_and_is_rounded_once(adapters, tmp_path):
    base = save(tiny_llama(num_hidden_layers=2, dtype=torch.bfloat16), tmp_path / "base")
    made = selfmoe.merge(adapters, base=base, method="ties", out=tmp_path / "out")
    expected = selfmoe.compose(load(base), adapters, merge="ties").state_dict()
    found = AutoModelForCausalLM.from_pretrained(made.path).state_dict()
    assert json.loads((made.path / "config.json").read_text())["dtype"] == "bfloat16"
    assert all(torch.equal(t, expected[name].to(torch.bfloat16)) for name, t in found.items())
    assert made.dtype == "bfloat16"
    assert made.off == 0.0
    assert 0 < made.moved < 0.1
    other = selfmoe.merge(adapters, base=base, method="ties", out=tmp_path / "f", dtype="float32")
    assert (other.dtype, other.moved) == ("float32", 0.0)


@pytest.mark.parametrize("form", ["hf", "peft"])
def test_transposed_weights(tmp_path, form):
    base, model = save(tiny_gpt2(), tmp_path / "base"), tiny_gpt2()
    experts = {
        name: random_adapter(model, tmp_path / name, r=2, seed=i, targets=GPT2_TARGETS)
        for i, name in enumerate("ab")
    }
    made = selfmoe.merge(experts, base=base, method="mean", out=tmp_path / "out", format=form)
    found = load(made.path) if form == "hf" else with_lora(base, made.path)
    assert close(logits(found), logits(selfmoe.compose(load(base), experts, merge="mean")))


@pytest.mark.parametrize("form", ["hf", "peft"])
def test_a_head_that_shares_the_embeddings_weight(tmp_path, form):
    base = save(tiny_llama(num_hidden_layers=2, tie_word_embeddings=True), tmp_path / "base")
    width, rows = load(base).lm_head.weight.shape[::-1]
    drawn = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=drawn) for shape in ((2, width), (rows, 2)))
    factors = {"lm_head": Factors(a, b, 0.1)}
    (tmp_path / "head").mkdir()
    write_adapter(tmp_path / "head", factors, described(factors, None))
    made = selfmoe.merge(
        [tmp_path / "head"], base=base, method="mean", out=tmp_path / "out", format=form
    )
    found = load(made.path) if form == "hf" else with_lora(base, made.path)
    expected = selfmoe.compose(load(base), {"head": tmp_path / "head"}, merge="mean")
    assert close(logits(found), logits(expected))
    assert not close(logits(found), logits(load(base)))


def test_a_lora_is_exact_where_the_sum_of_ranks_suffices(base, adapters, tmp_path):
    made = selfmoe.merge(adapters, base=base, method="mean", out=tmp_path / "out", format="peft")
    assert made.rank == 2 + 5
    assert made.discarded < 1e-9
    found = logits(with_lora(base, made.path))
    assert close(found, logits(selfmoe.compose(load(base), adapters, merge="mean")))
    by_peft = with_lora(base, adapters["law"])
    by_peft.load_adapter(adapters["tax"], "tax")
    by_peft.add_weighted_adapter(["default", "tax"], [0.5, 0.5], "both", "cat")
    by_peft.set_adapter("both")
    assert close(found, logits(by_peft))
    config = json.loads((made.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    assert "q_proj" in config["target_modules"]  # as people name them


def test_a_lora_says_what_its_rank_leaves_out(base, adapters, tmp_path):
    made = selfmoe.merge(
        adapters, base=base, method="ties", out=tmp_path / "out", format="peft", rank=3
    )
    composed = selfmoe.compose(load(base), adapters, merge="ties")
    deltas = composed.mixture.composition.tensors.values()
    squares = [torch.linalg.svdvals(delta.double()) ** 2 for delta in deltas]
    left_out = sum(s[3:].sum() for s in squares) / sum(s.sum() for s in squares)
    assert made.discarded == pytest.approx(float(left_out), rel=1e-4)
    assert made.moved > 1e-3
    assert made.off < 1e-5


def test_a_rank_beyond_a_layers_width_is_filled_up():
    delta = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    factors, discarded = low_rank({"x": delta}, 9)
    assert (factors["x"].a.shape, factors["x"].b.shape) == ((9, 6), (4, 9))
    assert torch.allclose(factors["x"].delta(), delta, atol=1e-5)
    assert discarded == 0.0


class Sum(Merge):
    """A merge that owns the adapters it is made of."""

    name = "sum"

    def compose(self, ctx):
        raise NotImplementedError


def test_adapters_that_a_merge_owns_count_in_full(adapters):
    found = deltas_of(Sum(), Composition("sum", {}, (), owned=adapters))
    law, tax = map(read_factors, adapters.values())
    assert found.keys() == law.keys()
    site = "model.layers.0.self_attn.q_proj"
    assert torch.allclose(found[site], law[site].delta() + tax[site].delta())


REFUSED = [
    ({"method": "instance"}, NotSupportedError, r"merge 'instance' trains .*\n.*dare, mean, ties"),
    ({"method": "sequential"}, NotSupportedError, "merge 'sequential' trains"),
    ({"method": "tie"}, UnknownNameError, "did you mean 'ties'"),
    ({"method": "topk"}, UnknownNameError, "no merge named 'topk'"),
    ({"options": {"densty": 1}}, ConfigError, "did you mean 'density'"),
    ({"rank": 4}, ConfigError, "a model has no rank"),
    ({"format": "peft", "rank": 0}, ConfigError, "at least 1"),
    ({"format": "peft", "dtype": "bfloat16"}, ConfigError, "adapters are written in float32"),
    ({"format": "gguf"}, UnknownNameError, "no format named 'gguf'"),
    ({"adapters": []}, ConfigError, "no adapter is named"),
    ({"adapters": ["absent"]}, ConfigError, "^absent does not exist"),
]


@pytest.mark.parametrize(("changes", "error", "said"), REFUSED, ids=lambda x: str(x)[:40])
def test_mistakes_are_named_before_the_base_is_loaded(
    base, adapters, tmp_path, monkeypatch, changes, error, said
):
    monkeypatch.setattr("selfmoe.outward.merging.merge.load_base", lambda *_: pytest.fail("loaded"))
    asked = {"adapters": adapters, "base": base, "method": "ties", "out": tmp_path / "out"}
    with pytest.raises(error, match=said):
        selfmoe.merge(**asked | changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "path", "found"),
    [
        ("owner/model@v2", "models--owner--model/snapshots/0abc", ("owner/model", "v2")),
        ("owner/model", "models--owner--model/snapshots/0abc", ("owner/model", None)),
        ("my@model", "/my@model", ("/my@model", None)),
    ],
)
def test_peft_is_told_a_base_as_it_loads_it(name, path, found):
    files = BaseFiles(name, Path(path), "0123456789", "cpu", "float32")
    assert address(name, files) == found


def test_adapters_of_another_base_are_refused(base, tmp_path):
    deep = random_adapter(tiny_llama(num_hidden_layers=4), tmp_path / "deep")
    with pytest.raises(CompositionError, match="deeper model"):
        selfmoe.merge([deep], base=base, method="ties", out=tmp_path / "out")


def test_an_adapter_that_names_another_base_is_told(base, adapters, tmp_path):
    other = shutil.copytree(adapters["law"], tmp_path / "other")
    config = json.loads((other / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "somebody/something"
    (other / "adapter_config.json").write_text(json.dumps(config))
    made = selfmoe.merge([other], base=base, method="mean", out=tmp_path / "out")
    assert "made for 'somebody/something'" in made.notes[0]


def test_what_is_there_is_left_alone(base, adapters, tmp_path):
    with pytest.raises(RunError, match="exists"):
        selfmoe.merge(adapters, base=base, method="ties", out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["hf", "peft"])
def test_nothing_is_left_of_what_computes_something_else(
    base, adapters, tmp_path, monkeypatch, form
):
    monkeypatch.setattr(checking, "TOLERANCE", -1.0)
    with pytest.raises(CompositionError, match="computes something else"):
        selfmoe.merge(adapters, base=base, method="ties", out=tmp_path / "out", format=form)
    assert not list(tmp_path.iterdir())


def test_the_command_line_says_what_was_done(cli, base, adapters):
    pair = [f"{name}={path}" for name, path in adapters.items()]
    rest = ["--method", "ties", "--base", str(base)]
    done = cli("merge", *pair, *rest, "--set", "density=0.2", "--out", "merged")
    assert done.exit_code == 0, done.output
    assert "ties(density=0.2, scale=1.0, factorwise=False) of 14 layers" in done.stdout
    assert "the same logits in float32, bit for bit" in done.stdout
    done = cli("merge", *pair, *rest, "--format", "peft", "--rank", "2", "--out", "lora")
    assert "The rank leaves out" in done.stdout
    done = cli("merge", *pair, *rest, "--format", "peft", "--out", "lora2", "--json")
    found = json.loads(done.stdout)
    assert (found["rank"], found["format"], found["adapters"]["law"]["rank"]) == (7, "peft", 2)
    done = cli("merge", pair[0], pair[0], *rest, "--out", "twice")
    assert done.exit_code == 1
    assert "Give one of them a name of its own: NAME=FOLDER" in done.stderr
    done = cli("merge", *pair, *rest, "--out", "merged")
    assert "merged exists" in done.stderr
    assert cli("evaluate", "merged", "--dry-run", "--benchmarks", "math/mini").exit_code == 0
