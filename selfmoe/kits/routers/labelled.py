"""Which examples belong to which expert, for composers that learn each expert from its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Composition, Example, Expert


def own_examples(
    composer: Composer, data: Sequence[Example], experts: Iterable[str]
) -> dict[str, list[Example]]:
    """Return the examples of the domain that has an expert's name, by expert.

    Raises:
        CompositionError: If there are none for an expert; says which domains there are.
    """
    own = {name: [e for e in data if e.domain == name] for name in experts}
    if missing := [name for name, examples in own.items() if not examples]:
        there = ", ".join(sorted({example.domain for example in data})) or "none"
        raise CompositionError(
            f"{composer.kind} '{composer.name}' learns each expert from the examples of the domain "
            f"of its name; there are none for {', '.join(missing)}\n  Domains there are examples "
            f"of: {there}. Name the experts after their domains, or leave out those without data."
        )
    return own


def count_ignored(data: Sequence[Example], before: Composition, new: Mapping[str, Expert]) -> float:
    """Return how many examples, now and before, are of domains that no expert is named after."""
    names = {ref.name for ref in before.experts} | set(new)
    earlier = before.report.get("ignored_examples", 0.0)
    return earlier + sum(example.domain not in names for example in data)
