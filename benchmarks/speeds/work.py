"""What is timed, as functions of a model: each returns what one round does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Round = Callable[[], object]

LEARNT = {"selfmoe": "theta", "PEFT LoRA": ".lora_", "PEFT X-LoRA": "xlora_classifier"}
"""System -> what stands in the names of the parameters that learn."""


def tokens(model: Any, batch: int, time: int) -> Tensor:
    """Return random token ids, shape ``(batch, time)``, the same for every model."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, model.config.vocab_size, (batch, time), generator=generator)


def prefill(model: Any, batch: int, time: int) -> Round:
    """Read prompts; only the last position's logits are computed, as ``generate`` does."""
    ids = tokens(model, batch, time)
    cached = {} if caches(model) else {"use_cache": False}

    @torch.inference_mode()
    def once() -> None:
        model(input_ids=ids, logits_to_keep=1, **cached)

    return once


def decode(model: Any, batch: int, steps: int, prompt: int = 64) -> Round:
    """Write tokens greedily after a prompt of 64 that was read before, and is not timed.

    A model without a cache has to read everything again for every token; that is timed.
    """
    ids = tokens(model, batch, prompt)
    if not caches(model):
        return _decode_uncached(model, ids, steps)
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        first = _next(model(input_ids=ids, past_key_values=cache, logits_to_keep=1))

    @torch.inference_mode()
    def once() -> None:
        token = first
        for _ in range(steps):
            token = _next(model(input_ids=token, past_key_values=cache, use_cache=True))
        cache.crop(-steps)

    return once


def _decode_uncached(model: Any, ids: Tensor, steps: int) -> Round:
    @torch.inference_mode()
    def once() -> None:
        text = ids
        for _ in range(steps):
            token = _next(model(input_ids=text, use_cache=False, logits_to_keep=1))
            text = torch.cat([text, token], 1)

    return once


def _next(output: Any) -> Tensor:
    token: Tensor = output.logits[:, -1:].argmax(-1)
    return token


def caches(model: Any) -> bool:
    """Return whether a model can use a cache; X-LoRA cannot."""
    return bool(model.config.use_cache)


def training(name: str, model: Any, batch: int, time: int) -> Round:
    """Do one forward and backward pass for the parameters of a router.

    For the base that is the least there can be: through the activations alone. For PEFT's LoRA it
    is the training of one expert, for scale.
    """
    ids = tokens(model, batch, time)
    model.requires_grad_(False)
    mark = LEARNT.get(name)
    learned = [p.requires_grad_(True) for n, p in model.named_parameters() if mark and mark in n]
    if mark and not learned:
        raise RuntimeError(f"{name}: there is no parameter with {mark} in its name")
    embed = model.get_input_embeddings()

    def once() -> None:
        for parameter in learned:
            parameter.grad = None
        if learned:
            output = model(input_ids=ids, labels=ids, use_cache=False)
        else:
            start = embed(ids).detach().requires_grad_(True)
            output = model(inputs_embeds=start, labels=ids, use_cache=False)
        output.loss.backward()
        if any(parameter.grad is None for parameter in learned):
            raise RuntimeError(f"{name}: a parameter that shall learn got no gradient")

    return once
