"""LoRA layers with less work around their products: PEFT's numbers, or PEFT's own layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from safetensors.torch import load_file
from torch import Tensor, nn

from selfmoe.kits.trainers import lean as module
from selfmoe.kits.trainers.lean import lean
from selfmoe.testing.families import tiny_model


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def adapted(family: str = "llama", **options: Any) -> Any:
    """Return a model with an adapter that is not zero."""
    torch.manual_seed(0)
    known = {"r": 3, "lora_alpha": 7, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    model = get_peft_model(tiny_model(family), LoraConfig(**{**known, **options}))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    return model.train()


def layers(model: Any) -> list[Any]:
    return [layer for layer in model.modules() if isinstance(layer, Linear)]


def changed(model: Any) -> int:
    return sum("forward" in vars(layer) for layer in layers(model))


def gradients(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
    ids = torch.randint(0, 256, (2, 9), generator=torch.Generator().manual_seed(1))
    logits = model(input_ids=ids).logits
    learns = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(logits.square().mean(), list(learns.values()))
    return logits, dict(zip(learns, found, strict=True))


@pytest.mark.parametrize("family", ["llama", "qwen2", "phi3", "gemma2", "gpt_neox"])
@pytest.mark.parametrize("rslora", [False, True])
def test_equals_pefts_layers(family: str, rslora: bool) -> None:
    model = adapted(family, use_rslora=rslora)
    expected, theirs = gradients(model)
    with lean(model):
        assert changed(model) == len(layers(model)) > 0
        logits, ours = gradients(model)
    assert changed(model) == 0
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    largest = max(float(one.abs().max()) for one in theirs.values())
    for name, one in theirs.items():
        assert (ours[name] - one).abs().max() < 1e-5 * largest, name
    again, _ = gradients(model)
    assert torch.equal(again, expected)


@pytest.mark.parametrize("options", [
    {"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True},
])  # fmt: skip
def test_what_is_more_than_a_product_stays_pefts(options: dict[str, Any]) -> None:
    model = adapted(**options)
    with lean(model):
        assert changed(model) == 0


def test_layers_that_store_their_weight_transposed_stay_pefts() -> None:
    model = adapted("gpt2", fan_in_fan_out=True)
    with lean(model):
        assert changed(model) == 0


def test_a_layer_whose_weight_learns_stays_pefts() -> None:
    model = adapted()
    layers(model)[0].base_layer.weight.requires_grad_(True)
    with lean(model):
        assert changed(model) == len(layers(model)) - 1


def test_a_base_of_lower_precision_stays_pefts() -> None:
    base = tiny_model("llama", dtype=torch.bfloat16)
    model = get_peft_model(base, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
    assert {p.dtype for n, p in model.named_parameters() if "lora" in n} == {torch.float32}
    with lean(model):
        assert changed(model) == 0


def test_it_ends_with_an_error() -> None:
    model = adapted()
    with pytest.raises(KeyboardInterrupt), lean(model):
        raise KeyboardInterrupt
    assert changed(model) == 0


def test_recomputed_layers_have_the_same_gradients() -> None:
    model = adapted()
    _, expected = gradients(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.enable_input_require_grads()
    with lean(model):
        _, ours = gradients(model)
    for name, one in expected.items():
        torch.testing.assert_close(ours[name], one)


def test_the_trainer_uses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfmoe.contracts.trainer import TrainContext
    from selfmoe.models.fitting.loop import Fit
    from selfmoe.registry.registry import registry
    from selfmoe.testing.models import tiny_base, tiny_examples

    used: list[nn.Module] = []
    plain = module._is_plain
    adapters = []
    for name, rule in (("lean", plain), ("plain", lambda layer: False)):

        def asked(layer: nn.Module, rule: Any = rule) -> bool:
            used.extend([layer] if rule(layer) else [])
            return bool(rule(layer))

        monkeypatch.setattr(module, "_is_plain", asked)
        (tmp_path / name).mkdir()
        context = TrainContext(
            tiny_base(), tiny_examples(6), Fit(), 5, tmp_path / f"{name}-work", tmp_path / name
        )
        options = {"max_steps": 3, "batch_size": 2, "lr": 0.05, "r": 2, "alpha": 4}
        report = registry().configure("trainer", "lora", options).train(context)
        adapters.append(
            (report["losses"], load_file(tmp_path / name / "adapter_model.safetensors"))
        )
    assert len(used) == 21
    assert adapters[0][0] == pytest.approx(adapters[1][0], rel=1e-5)
    for name, tensor in adapters[1][1].items():
        assert torch.allclose(adapters[0][1][name], tensor, atol=1e-3), name
