"""Tiny random models of the families of decoders that selfmoe is held on, awkward cases included.

A family's blocks differ in what matters to experts and routers: separate or fused projections,
``Linear`` or ``Conv1D``, attention as wide as the residual stream or not, biases, norms of queries
and keys, windows, caps, tied embeddings, and whether attention and MLP follow one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from selfmoe.testing.family import GPT2_TARGETS, NEOX_TARGETS, PHI3_TARGETS, VOCABULARY, Family
from selfmoe.testing.sparse import SPARSE

GROUPED: Mapping[str, Any] = {"num_key_value_heads": 2}
CAPPED: Mapping[str, Any] = {
    "query_pre_attn_scalar": 16,
    "attn_logit_softcapping": 4.0,
    "final_logit_softcapping": 8.0,
}

FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", GROUPED),
    "llama-wide-heads": Family("llama", {**GROUPED, "head_dim": 16}),
    "mistral": Family("mistral", {**GROUPED, "sliding_window": 6}),
    "gemma": Family("gemma", {"num_key_value_heads": 1, "head_dim": 16}),
    "gemma2": Family("gemma2", {**GROUPED, **CAPPED, "head_dim": 16, "sliding_window": 6}),
    "qwen2": Family("qwen2", GROUPED),
    "qwen2-tied": Family("qwen2", {**GROUPED, "tie_word_embeddings": True}),
    "qwen3": Family("qwen3", {**GROUPED, "head_dim": 16}),
    "phi3": Family("phi3", GROUPED, PHI3_TARGETS),
    "gpt2": Family("gpt2", {"initializer_range": 0.1}, GPT2_TARGETS),
    "gpt_neox": Family("gpt_neox", {"use_parallel_residual": True}, NEOX_TARGETS),
    "gpt_neox-serial": Family("gpt_neox", {"use_parallel_residual": False}, NEOX_TARGETS),
}
"""Every family, and variants of some; Gemma, Gemma 2 and GPT-2 tie their embeddings."""


def tiny_model(
    family: str, seed: int = 0, *, dtype: torch.dtype = torch.float32, **config: Any
) -> Any:
    """Return a random model of a family: 3 blocks, width 32, 4 heads, frozen, in eval mode.

    Biases and norms are random too, so that a model without them answers otherwise.

    Args:
        family: A key of ``FAMILIES``, or of ``selfmoe.testing.sparse.SPARSE``, which have 2 blocks.
        seed: Of the weights.
        dtype: Of the weights.
        config: Further changes to the configuration.
    """
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    chosen = {**FAMILIES, **SPARSE}[family]
    kind = CONFIG_MAPPING[chosen.model_type]
    settings = _settings(kind, {**chosen.config, **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(kind(**settings), dtype=torch.float32)
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and chosen.model_type != "llama":
                parameter.data += 0.1 * torch.randn_like(parameter)
            if parameter.dim() == 3 and "conv" not in name:  # some leave their experts as they come
                parameter.data = 0.1 * torch.randn_like(parameter)
    model.generation_config.pad_token_id = 257
    return model.to(dtype).eval().requires_grad_(False)


_SETTINGS: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": 257,
    "max_position_embeddings": 512,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}


def _settings(kind: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a configuration, by the names it has for them itself."""
    known = kind()
    common = {name: value for name, value in _SETTINGS.items() if hasattr(known, name)}
    return {kind.attribute_map.get(name, name): v for name, v in {**common, **changes}.items()}
