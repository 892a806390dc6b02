"""Base classes for domains with a *mini track*: procedural problems, shipped with the domain.

A domain needs its families of problems and the form in which answers are given:

    class Sums(MiniDomain):
        "Adding up."
        name = "sums"
        families = (Family("add", make_addition),)
        style = "marked"
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from selfmoe import procedural
from selfmoe.components import Benchmark, Domain
from selfmoe.errors import DataError
from selfmoe.evaluation.code import passes
from selfmoe.procedural import Family, Item, Problem, Split, Style, draw, render
from selfmoe.records import Instruction, Seed, Source

Doc = Mapping[str, Any]

ITEMS = 500
"""Items of a mini benchmark where its families can give that many; ``evaluate.limit`` cuts."""

_EXAMPLES = 50
_FIXED_SEED = 0  # all runs are scored on the same items


class MiniBenchmark(Benchmark):
    """Procedural problems, asked the way experts are trained.

    ``score`` is strict: right and in the form the domain prescribes. ``lenient`` takes any form.
    """

    name = "mini"
    max_new_tokens = 64
    stop = ("\n\n",)

    def __init__(self, items: Sequence[Item], pool: Sequence[Item], style: Style) -> None:
        self.items = [item.to_dict() for item in items]
        self.pool = [item.to_dict() for item in pool]
        self.style = style
        self.needs_sandbox = style == "code"

    def ask(self, doc: Doc) -> Instruction:
        """Return the problem as a task."""
        return Instruction(doc["instruction"], doc["input"])

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return the strict ``score`` and the ``lenient`` one, each 0 or 1."""
        if self.style == "code":
            return _run_tests(doc, completion)
        return {
            "score": float(procedural.strict(self.style, completion, doc["answer"])),
            "lenient": float(procedural.lenient(completion, doc["answer"])),
        }

    def gold(self, doc: Doc) -> str:
        """Return the right answer in the prescribed form."""
        return str(doc["response"])

    def wrong(self, doc: Doc) -> str:
        """Return the prescribed form around the answer to another item."""
        if self.style == "code":
            return "def f(x):\n    return None"
        other = next(item["answer"] for item in self.items if item["answer"] != doc["answer"])
        return render(
            Problem(doc["family"], doc["input"], other, "", f"print({other!r})"), self.style
        )


class MiniDomain(Domain):
    """A domain with a mini track; those with files beside it override the two ``file_`` methods.

    Attributes:
        families: The kinds of problems.
        style: The form its answers must have.
    """

    families: ClassVar[tuple[Family, ...]]
    style: ClassVar[Style]

    def seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds: procedural problems of the split ``seeds``, or training data."""
        if source.track != "mini":
            return self.file_seeds(source, n, rng)
        try:
            items = self._draw("seeds", n, rng.getrandbits(32))
        except ValueError as error:
            raise DataError(f"domain '{self.name}' has no {n} seeds: {error}") from None
        return [Seed(item.id, item.instruction, item.input, item.response) for item in items]

    def benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the mini benchmark, or those made from files."""
        if source.track != "mini":
            return self.file_benchmarks(source)
        items = self._up_to(ITEMS, source.split)
        return [MiniBenchmark(items, self._up_to(_EXAMPLES, "seeds"), self.style)]

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds of a track other than ``mini``."""
        raise self._no_track(source)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the benchmarks of a track other than ``mini``."""
        raise self._no_track(source)

    def _draw(self, split: Split, n: int, seed: int) -> tuple[Item, ...]:
        return _drawn(self.families, split, n, seed, self.name, self.style)

    def _up_to(self, n: int, split: Split) -> tuple[Item, ...]:
        """Return ``n`` items, or as many as the families can give by halving."""
        try:
            return self._draw(split, n, _FIXED_SEED)
        except ValueError as error:
            if n <= len(self.families):
                raise DataError(f"domain '{self.name}' has no items: {error}") from None
            return self._up_to(n // 2, split)

    def _no_track(self, source: Source) -> DataError:
        return DataError(
            f"domain '{self.name}' has no track '{source.track}'\n"
            f"  Available: {', '.join(self.tracks)}."
        )


@lru_cache(maxsize=32)  # every system of a run is asked the same items
def _drawn(
    families: tuple[Family, ...], split: Split, n: int, seed: int, domain: str, style: Style
) -> tuple[Item, ...]:
    return tuple(draw(families, split, n, seed, domain=domain, style=style))


def _run_tests(doc: Doc, completion: str) -> dict[str, float]:
    tests = "\n".join(doc["tests"])

    def works(source: str | None) -> float:
        return float(source is not None and passes(f"{source}\n\n{tests}\n"))

    prescribed = procedural.program(completion, strict=True)
    strict = works(prescribed)
    loose = procedural.program(completion)
    return {"score": strict, "lenient": strict if loose == prescribed else works(loose)}
