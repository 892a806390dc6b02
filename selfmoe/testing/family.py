"""What a family of decoders is: how to make a tiny model of it, and its linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

VOCABULARY = 288
LLAMA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GPT2_TARGETS = ("c_attn", "c_proj", "c_fc")
PHI3_TARGETS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
NEOX_TARGETS = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")


class Family(NamedTuple):
    """How to make a tiny model of one family.

    Attributes:
        model_type: As transformers names it.
        config: Changes to a configuration of width 32, MLP width 48, 3 blocks and 4 heads.
        targets: Names of its linear layers within the blocks.
    """

    model_type: str
    config: Mapping[str, Any]
    targets: tuple[str, ...] = LLAMA_TARGETS
