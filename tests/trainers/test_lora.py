"""The LoRA trainer: what it writes, and what it leaves of the base."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import LoadedBase, System
from selfmoe.contracts.trainer import TrainContext
from selfmoe.mixture.systems import attached
from selfmoe.models.fitting.loop import Fit
from selfmoe.registry.registry import registry
from selfmoe.testing.models import tiny_base, tiny_examples

FAST = {"max_steps": 3, "batch_size": 2, "lr": 0.05, "r": 2, "alpha": 4}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def train(base: LoadedBase, folder: Path, **options: Any) -> Path:
    out = folder / "adapter"
    out.mkdir(parents=True)
    context = TrainContext(base, tiny_examples(6), Fit(), 5, folder / "work", out)
    report = registry().configure("trainer", "lora", {**FAST, **options}).train(context)
    assert len(report["losses"]) == report["steps"] == 3
    assert report["trained_parameters"] == sum(
        tensor.numel() for tensor in load_file(out / "adapter_model.safetensors").values()
    )
    return out


HARMLESS = {"gradient_checkpointing", "_gradient_checkpointing_func", "_require_grads_hooks"}
"""What transformers leaves once its checkpointing has been on and off again, all of it off."""


def fingerprint(model: Any) -> dict[str, Any]:
    """Return everything about a model that training must not change."""
    return {
        "modules": [(name, type(module)) for name, module in model.named_modules()],
        "attributes": {n: sorted(set(vars(m)) - HARMLESS) for n, m in model.named_modules()},
        "training": [module.training for module in model.modules()],
        "learning": [name for name, p in model.named_parameters() if p.requires_grad],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "checkpointing": [m for m in model.modules() if getattr(m, "gradient_checkpointing", 0)],
        "config": model.config.to_json_string(),
    }


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_base_is_left_as_it_was(tmp_path: Path, checkpointing: bool) -> None:
    base = tiny_base()
    before, weights = fingerprint(base.model), copy.deepcopy(base.model.state_dict())
    train(base, tmp_path, gradient_checkpointing=checkpointing)
    after = fingerprint(base.model)
    for key, value in before.items():
        assert after[key] == value, key
    assert base.model.state_dict().keys() == weights.keys()
    for name, tensor in base.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_the_base_is_left_as_it_was_when_training_fails(tmp_path: Path) -> None:
    base = tiny_base()
    before = fingerprint(base.model)

    def fail(step: int, steps: int, text: str) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    context = TrainContext(base, tiny_examples(6), Fit(fail), 5, tmp_path / "w", tmp_path / "out")
    trainer = registry().configure("trainer", "lora", FAST | {"gradient_checkpointing": True})
    with pytest.raises(KeyboardInterrupt):
        trainer.train(context)
    assert fingerprint(base.model) == before


@pytest.mark.parametrize("rslora", [False, True])
def test_peft_loads_it_and_gives_the_same_logits(tmp_path: Path, rslora: bool) -> None:
    base = tiny_base()
    out = train(base, tmp_path, rslora=rslora)
    ids = torch.randint(0, 256, (2, 9), generator=torch.Generator().manual_seed(0))
    plain = base.model(input_ids=ids).logits
    peft = PeftModel.from_pretrained(copy.deepcopy(base.model), str(out)).eval()
    theirs = peft(input_ids=ids).logits
    with attached(base, System("expert-x", "expert"), out, registry()):
        ours = base.model(input_ids=ids).logits
    assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert (ours - plain).abs().max() > 1e-3 * plain.abs().max()
    assert torch.equal(base.model(input_ids=ids).logits, plain)


def test_checkpointing_gives_the_same_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has rows read whole, which rounds otherwise; here that is so with it and without.
    monkeypatch.setattr("selfmoe.models.fitting.reading.can_read_apart", lambda *given: False)
    plain = load_file(train(tiny_base(), tmp_path / "a") / "adapter_model.safetensors")
    path = train(tiny_base(), tmp_path / "b", gradient_checkpointing=True)
    for name, tensor in load_file(path / "adapter_model.safetensors").items():
        assert torch.allclose(tensor, plain[name], atol=1e-6), name


def test_equal_adapters_are_equal_files(tmp_path: Path) -> None:
    one, two = train(tiny_base(), tmp_path / "a"), train(tiny_base(), tmp_path / "b")
    names = sorted(path.name for path in one.iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_targets_are_sorted_and_never_the_head(tmp_path: Path) -> None:
    config = json.loads((train(tiny_base(), tmp_path) / "adapter_config.json").read_text())
    targets = config["target_modules"]
    assert targets == sorted(targets)
    assert {"q_proj", "down_proj"} <= set(targets)
    assert "lm_head" not in targets
    assert config["base_model_name_or_path"] == "tiny"


def test_a_target_that_is_nowhere_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no linear layer is named 'k_proi'; did you mean") as said:
        train(tiny_base(), tmp_path, target_modules=["q_proj", "k_proi"])
    assert "There are: down_proj, gate_proj, k_proj" in str(said.value)


def test_targets_can_be_chosen(tmp_path: Path) -> None:
    out = train(tiny_base(), tmp_path, target_modules=["v_proj", "q_proj"])
    assert json.loads((out / "adapter_config.json").read_text())["target_modules"] == [
        "q_proj",
        "v_proj",
    ]
    names = load_file(out / "adapter_model.safetensors")
    assert all("q_proj" in name or "v_proj" in name for name in names)
