"""A model's configuration from GGUF: what transformers leaves out is put in, or refused.

transformers reads a list of facts for each architecture and passes over all others. A fact that
decides what the model computes must not be among those.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.models.gguf.header import Header, read_tensor

NEUTRAL: Mapping[str, Any] = {
    "rope.scaling.type": "none",
    "rope.scaling.factor": 1.0,
    "rope.scaling.attn_factor": 1.0,
    "rope.scale_linear": 1.0,
    "logit_scale": 1.0,
    "embedding_scale": 1.0,
    "residual_scale": 1.0,
    "attention.scale": 1.0,
    "attention.clamp_kqv": 0.0,
    "attention.causal": True,
}
"""Facts that transformers does not read, with the values at which they change nothing."""

FACTORS = "rope_freqs.weight"
"""Name of the tensor with what Llama 3.1 divides each of its frequencies by."""

_LLAMA3 = {
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def complete(header: Header, config: Any) -> Any:
    """Return the configuration with what the file says and transformers leaves out.

    Args:
        header: What the file says.
        config: What transformers makes of it; it is changed.

    Raises:
        DataError: If the model would compute otherwise than the file says.
    """
    _set_theta(header, config)
    _set_window(header, config)
    if FACTORS in header.tensors:
        _set_llama3(header, config)
    wrong = list(_contradictions(header, config))
    if wrong:
        raise DataError(
            f"base '{header.path}' cannot be converted faithfully, transformers leaves out what "
            f"the file says: {'; '.join(wrong)}\n  Give the model it was made from, in the "
            "transformers format with safetensors."
        )
    return config


def _rope(config: Any) -> dict[str, Any]:
    """Return the parameters of the rotation; of several kinds of layers, those that see all."""
    found = getattr(config, "rope_parameters", None) or {}
    nested = found.get("full_attention")
    rope: dict[str, Any] = nested if isinstance(nested, dict) else found
    return rope


def _set_theta(header: Header, config: Any) -> None:
    theta, rope = header.own("rope.freq_base"), _rope(config)
    if theta is not None and rope:
        rope["rope_theta"] = theta


def _set_window(header: Header, config: Any) -> None:
    """Let layers see as far back as the file says, where all of them have one window."""
    window = header.own("attention.sliding_window")
    plain = getattr(config, "sliding_window", 0) is None and not hasattr(config, "layer_types")
    if window and plain:
        config.sliding_window = window


def _set_llama3(header: Header, config: Any) -> None:
    """Put in the scaling of Llama 3.1, if it is what the file's factors are."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    factors = torch.from_numpy(read_tensor(header, FACTORS)).float()
    rope = _rope(config)
    plain = rope["rope_theta"] ** (-torch.arange(len(factors)) / len(factors))
    rope.update(_LLAMA3, rope_type="llama3", factor=float(factors.max()))
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    if scaled.shape != factors.shape or not torch.allclose(plain / factors, scaled, rtol=1e-4):
        raise DataError(
            f"base '{header.path}' scales its rotary frequencies ({FACTORS}) in a way that is not "
            "Llama 3.1's, and transformers does not read it\n  Give the model it was made from, "
            "in the transformers format with safetensors."
        )


def _contradictions(header: Header, config: Any) -> Iterator[str]:
    """Yield each fact that the configuration does not hold, with what it holds instead."""
    for key, nothing in NEUTRAL.items():
        value = header.own(key)
        if value not in (None, nothing) and not _holds(key, value, config):
            yield f"{key} is {value}"
    for key, held in _held(config):
        value = header.own(key)
        if value is not None and not _equal(value, held):
            yield f"{key} is {value}, it would compute with {held}"
    window, context = header.own("attention.sliding_window"), header.own("context_length")
    held = getattr(config, "sliding_window", None)
    if window and window < (context or math.inf) and held != window:
        yield f"attention.sliding_window is {window}, it would compute with {held}"


def _holds(key: str, value: Any, config: Any) -> bool:
    """Return whether a configuration scales its rotation as the file says."""
    rope = _rope(config)
    held = {"rope.scaling.type": "rope_type", "rope.scaling.factor": "factor"}.get(key)
    return held is not None and _equal(rope.get(held), value)


def _held(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield facts by llama.cpp's names, as the configuration holds them."""
    rope = _rope(config)
    if rope:
        heads = config.hidden_size // config.num_attention_heads
        width = getattr(config, "head_dim", None) or heads
        part = rope.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", 1.0))
        yield "rope.freq_base", rope["rope_theta"]
        yield "rope.dimension_count", int(width * (part or 1.0))
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        if hasattr(config, key):
            yield key, getattr(config, key)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-5)
    return bool(one == other)
