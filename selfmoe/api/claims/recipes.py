"""What the paper's claims call a system, and how it is composed: data, as the claims are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BASE, MIXTURE = "base", "mixture"


@dataclass(frozen=True)
class Recipe:
    """How a system is composed.

    Attributes:
        kind: ``router`` or ``merge``.
        name: The composer.
        options: What differs from the mixture's options, or from the default ones.
        experts: Of how many of the first experts; counted from the last one if below 0.
        every: Whether the option ``k`` is the number of experts.
    """

    kind: Literal["router", "merge"]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    experts: int | None = None
    every: bool = False


RECIPES: Mapping[str, Recipe] = {
    MIXTURE: Recipe("router", "topk", {"k": 1}),
    "two-a-token": Recipe("router", "topk", {"k": 2}),
    "all-a-token": Recipe("router", "topk", every=True),
    "random": Recipe("router", "random"),
    "joint": Recipe("router", "joint"),
    "oracle": Recipe("router", "oracle"),
    "first-1": Recipe("router", "topk", experts=1),
    "first-2": Recipe("router", "topk", experts=2),
    "first-3": Recipe("router", "topk", experts=3),
    "but-the-last": Recipe("router", "topk", experts=-1),
    "instance": Recipe("merge", "instance"),
    "ties": Recipe("merge", "ties"),
    "dare": Recipe("merge", "dare"),
}
"""What claims call a system -> how it is composed; ``base`` is the base."""
