"""Experts of one pass: those that training apart makes, each row through its own adapter."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Example, LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.kits.trainers import packing
from selfmoe.models.fitting.loop import Fit
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import fingerprint
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import tiny_base, tiny_examples, tiny_tokenizer

OPTIONS = {"max_steps": 3, "batch_size": 2, "lr": 0.01, "r": 2, "alpha": 4}
OWN = {
    "math": {},
    "coding": {"r": 3, "lr": 0.02, "batch_size": 3, "max_steps": 5, "schedule": "cosine"},
    "facts": {"target_modules": ["q_proj", "down_proj"], "clip": 0.1, "weight_decay": 0.1},
}
"""Experts with options of their own: rank, rate, steps, linears, clipping."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def examples_of(number: int) -> list[Example]:
    return tiny_examples(12)[number::3]


def expert(base: LoadedBase, number: int, name: str, root: Path, **more: Any) -> Any:
    """Return trainer and context of an expert."""
    out = root / name
    out.mkdir(parents=True)
    options = {**OPTIONS, **OWN[name], **more}
    context = TrainContext(base, examples_of(number), Fit(), number, root / "work", out)
    return registry().configure("trainer", "lora", options), context


def experts(base: LoadedBase, root: Path, fit: Fit | None = None, **more: Any) -> dict[str, Any]:
    found = {name: expert(base, n, name, root, **more) for n, name in enumerate(OWN)}
    return {name: (one, ctx._replace(fit=fit or ctx.fit)) for name, (one, ctx) in found.items()}


def apart(base: LoadedBase, root: Path, **more: Any) -> dict[str, Mapping[str, Any]]:
    return {
        name: one.train(ctx._replace(work=root / f"{name}-work"))
        for name, (one, ctx) in experts(base, root, **more).items()
    }


def together(base: LoadedBase, root: Path, fit: Fit | None = None, **more: Any) -> Any:
    given = experts(base, root, fit, **more)
    return type(given["math"][0]).train_together(given)


def weights(root: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(root / name / "adapter_model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    for name in OWN:
        config = "adapter_config.json"
        assert (one / name / config).read_bytes() == (other / name / config).read_bytes()
        ours, theirs = weights(one, name), weights(other, name)
        assert ours.keys() == theirs.keys()
        for layer, tensor in theirs.items():
            torch.testing.assert_close(ours[layer], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_experts_with_their_own_options_equal_those_trained_apart(
    tmp_path: Path, checkpointing: bool
) -> None:
    base = tiny_base()
    before = fingerprint(base.model)
    saving = {"gradient_checkpointing": checkpointing}
    packed = together(base, tmp_path / "packed", **saving)
    assert checkpointing or fingerprint(base.model) == before  # transformers leaves its traces
    expected = apart(base, tmp_path / "apart", **saving)
    assert packed.keys() == expected.keys()
    for name, report in expected.items():
        assert packed[name]["losses"] == pytest.approx(report["losses"], abs=1e-5)
        assert {**packed[name], "losses": 0} == {**report, "losses": 0}
    assert len({len(report["losses"]) for report in expected.values()}) > 1
    assert_same(tmp_path / "packed", tmp_path / "apart")


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "phi3", "gpt_neox", "llama-bfloat16"])
def test_families_and_precisions_equal_training_apart(tmp_path: Path, family: str) -> None:
    name, _, precise = family.partition("-")
    model = tiny_model(name, dtype=torch.bfloat16 if precise else torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):  # GPT-2 has some
            module.p = 0.0
    base = LoadedBase(name, model, tiny_tokenizer(), hash="0", context=512)
    assert registry().configure("trainer", "lora", {}).alone(base) is None
    all_linear = {"target_modules": "all-linear"}
    packed = together(base, tmp_path / "packed", **all_linear)
    expected = apart(base, tmp_path / "apart", **all_linear)
    near = 2e-2 if precise else 1e-5  # the base's own products round that much
    for name, report in expected.items():
        assert packed[name]["losses"] == pytest.approx(report["losses"], abs=near)


def test_beginnings_are_read_once_for_each_expert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    plain = packing._Run.__call__

    def seen(self: Any, batch: Any, **options: Any) -> Any:
        sizes.append((len(batch.domains), len(set(batch.domains))))
        return plain(self, batch, **options)

    monkeypatch.setattr(packing._Run, "__call__", seen)
    together(tiny_base(), tmp_path)
    steps = [pair for pair in sizes if pair[0] in (3, 7)]
    assert (3, 3) in steps, "no beginning was read by itself"
    assert (7, 3) in steps, "no part holds rows of all experts"


def test_a_pass_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    def killed(step: int, steps: int, text: str) -> None:
        if step == 4:  # two of the three have ended
            raise KeyboardInterrupt

    together(tiny_base(), tmp_path / "whole")
    half = experts(tiny_base(), tmp_path / "half", Fit(killed, save_seconds=-1))
    kind = type(half["math"][0])
    with pytest.raises(KeyboardInterrupt):
        kind.train_together(half)
    steps: list[int] = []
    fit = Fit(lambda step, count, text: steps.append(step))
    kind.train_together({name: (one, ctx._replace(fit=fit)) for name, (one, ctx) in half.items()})
    assert steps == [4, 5]
    for name in OWN:
        ours, theirs = weights(tmp_path / "half", name), weights(tmp_path / "whole", name)
        assert all(torch.equal(ours[layer], tensor) for layer, tensor in theirs.items())


def test_an_expert_whose_loss_is_no_number_leaves_the_others_alone(tmp_path: Path) -> None:
    base = tiny_base()
    given = experts(base, tmp_path / "packed")
    one, ctx = given["coding"]
    wild = type(one)(one.options.model_copy(update={"lr": 1e30}))
    reports = type(one).train_together({**given, "coding": (wild, ctx)})
    expected = apart(base, tmp_path / "apart")
    assert reports.keys() == {"math", "facts"}
    for name, report in reports.items():
        assert report["losses"] == pytest.approx(expected[name]["losses"], abs=1e-5)
        assert all(math.isfinite(loss) for loss in report["losses"])
    assert list(ctx.out.iterdir()) == []


def test_what_is_drawn_at_random_is_trained_alone() -> None:
    base = tiny_base()
    trainer = registry().configure("trainer", "lora", {"dropout": 0.1})
    assert "dropout" in str(trainer.alone(base))
    plain = registry().configure("trainer", "lora", {})
    assert plain.alone(base) is None
    for block in base.model.model.layers:
        block.self_attn.attention_dropout = 0.1
    assert plain.alone(base) == "the base leaves things out at random"
    assert not base.model.training
    assert registry().configure("trainer", "sdft", {}).alone(base)


def test_a_base_that_mixes_rows_is_refused(tmp_path: Path) -> None:
    base = tiny_base()
    before = copy.deepcopy(base.model.state_dict())
    mlp = base.model.model.layers[0].mlp
    plain = mlp.forward
    mlp.forward = lambda x: plain(x.flatten(0, 1)).view_as(x)
    with pytest.raises(StageError, match="do not keep the rows of a batch apart"):
        together(base, tmp_path)
    mlp.forward = plain
    assert all(torch.equal(t, before[n]) for n, t in base.model.state_dict().items())
    assert not any("forward" in vars(m) for m in base.model.modules() if hasattr(m, "in_features"))
