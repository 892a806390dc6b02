"""Tiny random models of bases that are more than attention and MLP for every token.

Their blocks have experts of their own, latent attention, convolutions or recurrences; some keep
linears outside the blocks. What a mixture can change of them is told in ``targets``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfmoe.testing.family import LLAMA_TARGETS, VOCABULARY, Family

ATTENTION = LLAMA_TARGETS[:4]
MLP = LLAMA_TARGETS[4:]

_TWO: Mapping[str, Any] = {"num_hidden_layers": 2}
_GROUPED: Mapping[str, Any] = {**_TWO, "num_key_value_heads": 2}
_FEW: Mapping[str, Any] = {**_GROUPED, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_LOCAL: Mapping[str, Any] = {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}
_SHARED: Mapping[str, Any] = {
    **_FEW,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_LATENT: Mapping[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_DELTA: Mapping[str, Any] = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_MAMBA2: Mapping[str, Any] = {
    "layer_types": ["mamba", "attention"],
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
_JAMBA: Mapping[str, Any] = {
    "num_experts": 4,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "mamba_d_state": 8,
    "mamba_dt_rank": 4,
}
_BY_LAYER: Mapping[str, Any] = {
    **_GROUPED,
    "head_dim": 8,
    "layer_types": ["full_attention", "full_attention"],
    "num_kv_shared_layers": 1,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
}
_ALTUP: Mapping[str, Any] = {"laurel_rank": 4, "activation_sparsity_pattern": [0.0, 0.0]}
_NARROW: Mapping[str, Any] = {
    **_TWO,
    "ffn_dim": 48,
    "word_embed_proj_dim": 16,
    "do_layer_norm_before": False,
}

_GATED = (*MLP, "shared_expert_gate")
_FED = (*MLP, "per_layer_input_gate", "per_layer_projection")
_ALTUP_TARGETS = ("prediction_coefs", "modality_router", "linear_left", "linear_right")
_LATENT_TARGETS = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj")

SPARSE: Mapping[str, Family] = {
    "mixtral": Family("mixtral", _LOCAL, ATTENTION),
    "qwen3_moe": Family("qwen3_moe", {**_FEW, "num_experts": 4}, ATTENTION),
    "olmoe": Family("olmoe", {**_FEW, "num_experts": 4}, ATTENTION),
    "deepseek_v3": Family("deepseek_v3", {**_SHARED, **_LATENT}, (*_LATENT_TARGETS, *MLP)),
    "glm4_moe": Family("glm4_moe", {**_SHARED, "head_dim": 8}, LLAMA_TARGETS),
    "qwen3_next": Family(
        "qwen3_next",
        {**_FEW, **_DELTA, "head_dim": 8, "num_experts": 4, "shared_expert_intermediate_size": 24},
        (*ATTENTION, *_GATED, "in_proj_qkvz", "in_proj_ba", "out_proj"),
    ),
    "qwen2_moe": Family(
        "qwen2_moe",
        {**_FEW, "num_experts": 4, "shared_expert_intermediate_size": 24, "mlp_only_layers": []},
        (*ATTENTION, *_GATED),
    ),
    "gpt_oss": Family(
        "gpt_oss",
        {**_LOCAL, "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]},
        ATTENTION,
    ),
    "granitemoe": Family("granitemoe", _LOCAL, ATTENTION),
    "granitemoehybrid": Family(
        "granitemoehybrid",
        {**_LOCAL, **_MAMBA2, "shared_intermediate_size": 24},
        (*ATTENTION, "in_proj", "out_proj", "input_linear", "output_linear"),
    ),
    "lfm2_moe": Family(
        "lfm2_moe",
        {
            **_FEW,
            "layer_types": ["conv", "full_attention"],
            "num_experts": 4,
            "num_dense_layers": 1,
        },
        ("q_proj", "k_proj", "v_proj", "in_proj", "out_proj", "w1", "w2", "w3"),
    ),
    "phimoe": Family("phimoe", _LOCAL, ATTENTION),
    "jamba": Family(
        "jamba",
        {**_GROUPED, **_JAMBA, "num_experts_per_tok": 2},
        (*LLAMA_TARGETS, "in_proj", "x_proj", "out_proj"),
    ),
    "gemma3n": Family(
        "gemma3n_text",
        {**_BY_LAYER, **_ALTUP},
        (*ATTENTION, *_FED, *_ALTUP_TARGETS),
    ),
    "gemma4": Family("gemma4_text", {**_BY_LAYER, "global_head_dim": 16}, (*ATTENTION, *_FED)),
    "opt-narrow": Family("opt", _NARROW, (*ATTENTION[:3], "out_proj", "fc1", "fc2")),
}
"""The sparse families, and three with linears outside their blocks; all have two blocks."""
