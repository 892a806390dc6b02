"""What is asked of a system: one answer, and how it is to come about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from selfmoe.models.generation.records import Likely, Row
from selfmoe.models.generation.stopping import Stops


@dataclass(slots=True, eq=False)
class Asked(Row):
    """One answer on its way.

    Attributes:
        system: The system that is asked.
        experts: What the weights of experts are multiplied by, of those that are named.
        domain: Domain of the prompt, for systems that must be told it.
        traced: Whether the routing of its tokens is kept.
        routes: That of the tokens read so far, shapes ``(tokens, blocks, n_experts)``.
        scores: Whether the prompt's own tokens are noted, too.
        prior: How likely each token of the prompt but the first was, once that is known.
        told: Whether its new tokens are told by their numbers.
        streams: Whether its owner wants to hear of every token.
        seen: How many of its new tokens were told of.
        failed: Why it cannot be answered, if it cannot.
        owner: Whom to tell.
    """

    system: str = ""
    experts: Mapping[str, float] = field(default_factory=dict)
    domain: str | None = None
    traced: bool = False
    routes: list[Tensor] = field(default_factory=list)
    scores: bool = False
    prior: list[Likely] | None = None
    told: bool = False
    streams: bool = False
    seen: int = 0
    failed: Exception | None = None
    owner: Any = None

    @property
    def ending(self) -> Stops:
        """What stops it; every row of a request has that."""
        assert isinstance(self.stops, Stops)
        return self.stops

    def said(self, new: int) -> int:
        """Return how many of its first tokens are not what ends an answer."""
        return new - 1 if new and self.ending.ends(self.new[new - 1]) else new
