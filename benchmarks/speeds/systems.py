"""The models that are compared: one random base, the same random experts for everybody."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from selfmoe.testing.models import random_adapter

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANK = 8


class Shape(NamedTuple):
    """Size of a random Llama."""

    hidden: int
    inner: int
    layers: int
    heads: int
    vocabulary: int


SHAPES: Mapping[str, Shape] = {
    "512": Shape(512, 1408, 8, 8, 4096),
    "1024": Shape(1024, 2816, 10, 16, 16384),
}


class Setting(NamedTuple):
    """What the models of one measurement share.

    Attributes:
        shape: A key of ``SHAPES``.
        n: Number of experts.
        folder: Where the experts are kept.
        dtype: Number format of the base.
        kernel: Kernel of selfmoe.
        live: How many experts a block of selfmoe keeps in memory, by the router ``retrieval``;
            ``None``: all, by ``topk``.
        retrieved: How many experts it retrieves for a prompt.
    """

    shape: str
    n: int
    folder: Path
    dtype: torch.dtype = torch.float32
    kernel: str = "auto"
    live: int | None = None
    retrieved: int = 4


_WEIGHTS: dict[tuple[str, torch.dtype], Mapping[str, Any]] = {}


def base(setting: Setting) -> Any:
    """Return the frozen base; all models of a shape share the memory of its weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = SHAPES[setting.shape]
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=None,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(setting.dtype).eval().requires_grad_(False)
    weights = _WEIGHTS.setdefault((setting.shape, setting.dtype), dict(model.named_parameters()))
    for name, parameter in model.named_parameters():
        parameter.data = weights[name].data
    return model


def experts(setting: Setting) -> dict[str, Path]:
    """Return the experts' PEFT folders by name; made when they are first asked for."""
    folders = {f"expert-{i}": setting.folder / setting.shape / f"{i}" for i in range(setting.n)}
    plain = setting._replace(dtype=torch.float32)
    for i, path in enumerate(folders.values()):
        if not (path / "adapter_model.safetensors").exists():
            random_adapter(base(plain), path, r=RANK, alpha=16, targets=TARGETS, seed=i, std=0.02)
    return folders


def lora(setting: Setting) -> Any:
    """Return PEFT's LoRA: one expert, unmerged."""
    from peft import PeftModel

    first = next(iter(experts(setting).values()))
    return PeftModel.from_pretrained(base(setting), str(first)).eval()


def several(setting: Setting) -> Any:
    """Return PEFT with all experts active at once: their sum, without routing."""
    from peft import PeftModel

    (first, path), *others = experts(setting).items()
    model = PeftModel.from_pretrained(base(setting), str(path), adapter_name=first)
    for name, other in others:
        model.load_adapter(str(other), adapter_name=name)
    model.base_model.set_adapter(list(experts(setting)))
    return model.eval()


def arrow(setting: Setting) -> Any:
    """Return PEFT's Arrow, top-1."""
    from peft import ArrowConfig, create_arrow_model

    paths = [str(path) for path in experts(setting).values()]
    return create_arrow_model(base(setting), paths, ArrowConfig(top_k=1, rng_seed=0)).eval()


def xlora(setting: Setting) -> Any:
    """Return PEFT's X-LoRA, top-1; it refuses a cache."""
    from peft import XLoraConfig, get_peft_model

    model = base(setting)
    model.config.use_cache = False
    config = XLoraConfig(
        task_type="CAUSAL_LM",
        hidden_size=model.config.hidden_size,
        top_k_lora=1,
        adapters={str(i): str(path) for i, path in enumerate(experts(setting).values())},
    )
    return get_peft_model(model, config).eval()


def selfmoe(setting: Setting) -> Any:
    """Return the mixture of selfmoe: router topk, k = 1, reading the input of each block."""
    from selfmoe.mixture.compose import compose
    from speeds.retrieved import attached

    if setting.live is not None:
        return attached(base(setting), setting)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is as initialised: there is nothing to learn here
        return compose(
            base(setting),
            {name: str(path) for name, path in experts(setting).items()},
            router="topk",
            options={"k": 1},
            in_place=True,
            kernel=setting.kernel,
        )


SYSTEMS: Mapping[str, Callable[[Setting], Any]] = {
    "base": base,
    "twin": base,
    "selfmoe": selfmoe,
    "selfmoe, torch": selfmoe,
    "PEFT LoRA": lora,
    "PEFT several": several,
    "PEFT Arrow": arrow,
    "PEFT X-LoRA": xlora,
}
"""What is compared, by the name it has in results."""


def build(setting: Setting, names: Sequence[str]) -> dict[str, Any]:
    """Return some of the systems, ready to run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: SYSTEMS[name](setting) for name in names}
