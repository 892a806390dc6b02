"""The domain that is made of chosen kinds of problems, in a form of answer of its own.

A run defines such domains under names of their own, to see what a mixture does where domains are
alike, narrow, or told apart by a single word:

    define:
      sums: {domain: families, options: {families: [math/get, math/give], style: marked}}
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from selfmoe.contracts import (
    Benchmark,
    ComponentConfig,
    Domain,
    Example,
    Rejected,
    Source,
    hookimpl,
)
from selfmoe.kits.domains import Family, MiniBenchmark, MiniDomain, Style

SELFMOE_API = 1


def _known(names: list[str]) -> list[str]:
    from selfmoe_domain_families.known import known

    there = list(known())
    for name in names:
        if name not in there:
            raise ValueError(f"there is no '{name}', only: {', '.join(there)}")
    if len(set(names)) < len(names):
        raise ValueError("a kind is named twice")
    return names


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Kinds = Annotated[list[str], AfterValidator(_known)]


class Families(MiniDomain):
    """Chosen kinds of problems of the mini tracks, in a form of answer of their own."""

    name = "families"
    description = "chosen kinds of problems"

    class Config(ComponentConfig):
        """Options of a domain made of families."""

        families: Kinds = Field(
            ["coding", "knowledge", "math", "reasoning"],
            min_length=1,
            description="Kinds of problems: a track, or track/family.",
        )
        style: Style = Field("bare", description="The form its answers must have.")
        cue: Annotated[str, AfterValidator(_pattern)] = Field(
            "",
            description="Regular expression that its tasks match; with curate.verify, others go.",
        )
        crossed: Kinds = Field(
            [], description="Kinds it is asked besides and does not learn, as benchmark crossed."
        )

    @property
    def families(self) -> tuple[Family, ...]:  # type: ignore[override]
        """The kinds of problems."""
        from selfmoe_domain_families.known import chosen

        return chosen(tuple(self.options.families), self.options.cue)

    @property
    def style(self) -> Style:  # type: ignore[override]
        """The form its answers must have."""
        style: Style = self.options.style
        return style

    def verify(self, example: Example, source: Source) -> Rejected | None:
        """Refuse tasks without the domain's cue: they are another domain's."""
        if re.search(self.options.cue, example.input):
            return None
        return Rejected("another domain's task")

    def benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the mini benchmark, and that of the kinds it is asked besides."""
        found = super().benchmarks(source)
        return [*found, Crossed(_asked(self), source.split)] if self.options.crossed else found


class Crossed(MiniBenchmark):
    """Problems of kinds that the domain is asked and does not learn."""

    name = "crossed"
    role = "non-target"


def _asked(domain: Families) -> Families:
    """Return the domain as if what it is asked besides were all it is about."""
    options = {**domain.options.model_dump(), "families": domain.options.crossed, "cue": ""}
    return type(domain)(domain.Config(**options))


@hookimpl
def register_domains() -> Iterable[type[Domain]]:
    """Return the domain of this package."""
    return [Families]
