"""What a claim is: two sides that answer the same items, and which should lie above the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "answers", "home", "away", "best", "constant", "own", "strongest", "named", "steady"
]  # fmt: skip
"""What is measured of each item.

``answers``: how right a system is. ``home``: how right the expert of the item's domain is.
``away``: how right the other experts are, on average. ``best``: how right the expert is that is the
best of all on the benchmark, chosen on the other half of the items. ``constant``: a number.
Of a router, in its weights for an answer: ``own``, the share of the expert of the item's domain;
``strongest``, that of the strongest other one, chosen on the other half of the items; ``named``,
whether the item's own expert has the most; ``steady``, whether the same expert has the most when
the item is asked in other words.
"""

ROUTED: frozenset[Kind] = frozenset({"own", "strongest", "named", "steady"})
"""What is measured of a router's weights."""

EXPERTS: frozenset[Kind] = frozenset({"home", "away", "best"})
"""What is measured of the experts alone."""

Scope = Literal["targets", "non-targets", "lacking", "shown", "untouched"]
"""Of which items: those of target benchmarks; of the others; of the targets whose domain has no
expert in the first system; of targets that show solved examples; of targets, those that share no
eight words in a row with the training data."""


@dataclass(frozen=True)
class Side:
    """One side of a claim.

    Attributes:
        kind: What is measured of each item.
        system: Whose answers or weights: a name of ``selfmoe.api.claims.systems``.
        variants: Under which changed settings (``selfmoe.api.claims.variants``); with several, the
            mean of all.
        value: Of ``constant``: the number; ``None`` for what chance gives, 1 / number of experts.
    """

    kind: Kind
    system: str = ""
    variants: tuple[str, ...] = ("",)
    value: float | None = None


def answers(system: str, *variants: str) -> Side:
    """Return the side of a system's answers."""
    return Side("answers", system, variants or ("",))


def routed(kind: Kind) -> Side:
    """Return a side that is measured of the mixture's weights."""
    return Side(kind, "mixture")


@dataclass(frozen=True)
class Claim:
    """One side lies above another.

    Attributes:
        id: Its name.
        place: The table or figure of the paper; ``Review`` for what the paper leaves open.
        sentence: What is claimed.
        one: The side that should lie above.
        other: The side that should lie below.
        paper: What the paper has for both, 0..1; ``None`` where it prints no number.
        margin: What the difference must exceed; below 0, ``one`` may be worse by as much.
        on: Of which items.
    """

    id: str
    place: str
    sentence: str
    one: Side
    other: Side
    paper: tuple[float, float] | None = None
    margin: float = 0.0
    on: Scope = "targets"

    @property
    def part(self) -> str:
        """Return the place as ``--only`` names it: ``table1``, ``figurec3``."""
        return re.sub(r"[^a-z0-9]", "", self.place.lower())

    @property
    def sides(self) -> tuple[Side, Side]:
        """Return both sides."""
        return self.one, self.other
