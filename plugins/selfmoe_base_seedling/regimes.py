"""Presets in which experts and one adapter meet on other terms than all domains at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]

ORDERS: Sequence[Sequence[str]] = (
    ("coding", "knowledge", "math", "reasoning"),
    ("reasoning", "math", "knowledge", "coding"),
    ("math", "coding", "reasoning", "knowledge"),
)
"""In which domains arrive: by name, from the last one to the first, and one in between."""


def arriving(full: Settings) -> Settings:
    """Return the settings of domains that come one by one, the data of the earlier ones gone.

    In each order: one LoRA trained on domain after domain, and two mixtures that take in expert
    after expert by statistics of its own data. Beside them what all data at once gives.

    Args:
        full: Settings to start from, but for what is composed.
    """
    systems: dict[str, Settings] = {"instance": {"merge": "instance"}, "arrow": {"router": "arrow"}}
    for number, order in enumerate(map(list, ORDERS), start=1):
        arrives = {"experts": order, "extend": order[1:]}
        whole = {"fit": "ridge", "weight": "one"}
        systems |= {
            f"mixse-{number}": {"router": "sequence", "options": whole, **arrives},
            f"ridge-{number}": {"router": "ridge", "options": {"weight": "one"}, **arrives},
            f"sequential-{number}": {"merge": "sequential", "options": {"order": order}},
        }
    return {**full, "compose": systems}


def low_rank(full: Settings, rank: int) -> Settings:
    """Return the settings of adapters of a rank, with the scale of updates as it is otherwise.

    Args:
        full: Settings to start from.
        rank: Of experts and of what is trained beside them.
    """
    options = {"r": rank, "alpha": 2 * rank}
    return {**full, "seed": [0, 1, 2], "specialise": {"options": options}}
