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
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import Instruction, Seed, Source
from selfmoe.evaluation.code import passes
from selfmoe.kits.domains import procedural
from selfmoe.kits.domains.procedural import Family, Item, Problem, Split, Style, draw, gold_response

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
    rule = (
        "The answer in the form the domain prescribes; leniently, in any form of the mini tracks."
    )

    def __init__(self, domain: MiniDomain, split: Split) -> None:
        self._domain, self._split = domain, split
        self.style = domain.style
        self.needs_sandbox = self.style == "code"

    @cached_property
    def items(self) -> Sequence[Doc]:
        """Problems of the split, the same in all runs."""
        return [item.to_dict() for item in self._domain.up_to(ITEMS, self._split)]

    @cached_property
    def pool(self) -> Sequence[Doc]:
        """Problems of the split that seeds are from."""
        return [item.to_dict() for item in self._domain.up_to(_EXAMPLES, "seeds")]

    def ask(self, doc: Doc) -> Instruction:
        """Return the problem as a task."""
        return Instruction(doc["instruction"], doc["input"])

    def reworded(self, doc: Doc) -> Instruction | None:
        """Return the problem after another instruction that goes with the same form of answer."""
        for wordings in procedural.WORDINGS.values():
            if (said := doc["instruction"]) in wordings:
                other = wordings[(wordings.index(said) + 1) % len(wordings)]
                return Instruction(other, doc["input"])
        return None

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return the strict ``score`` and the ``lenient`` one, each 0 or 1."""
        if self.style == "code":
            return _run_tests(doc, completion)
        return {
            "score": float(procedural.strict(self.style, completion, doc["answer"])),
            "lenient": float(procedural.lenient(completion, doc["answer"])),
        }

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the answer, or the program that is run, in whatever form it is given."""
        return answer_in(completion, self.style)

    def gold(self, doc: Doc) -> str:
        """Return the right answer in the prescribed form."""
        return str(doc["response"])

    def wrong(self, doc: Doc) -> str:
        """Return the prescribed form around the answer to another item."""
        if self.style == "code":
            return "def f(x):\n    return None"
        others = (item["answer"] for item in self.items if item["answer"] != doc["answer"])
        other = next(others, "unknown")
        return gold_response(
            Problem(doc["family"], doc["input"], other, "", f"print({other!r})"), self.style
        )


class MiniDomain(Domain):
    """A domain with a mini track; those with files beside it override the ``file_`` methods.

    Attributes:
        families: The kinds of problems.
        style: The form its answers must have.
    """

    families: ClassVar[tuple[Family, ...]]
    style: ClassVar[Style]

    def seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds: procedural problems of the split ``seeds``, or training data.

        Raises:
            DataError: If the families do not give as many, or the data is missing or malformed.
        """
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
        return [MiniBenchmark(self, source.split)]

    def answer(self, response: str, source: Source) -> str | None:
        """Return the answer that scoring would look at."""
        if source.track != "mini":
            return self.file_answer(response, source)
        return answer_in(response, self.style)

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds of a track other than ``mini``.

        Raises:
            DataError: If the domain has no such track.
        """
        raise self._no_track(source)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the benchmarks of a track other than ``mini``.

        Raises:
            DataError: If the domain has no such track.
        """
        raise self._no_track(source)

    def file_answer(self, response: str, source: Source) -> str | None:
        """Return the answer on a track other than ``mini``; by default the last line."""
        return super().answer(response, source)

    def _draw(self, split: Split, n: int, seed: int) -> tuple[Item, ...]:
        return _drawn(self.families, split, n, seed, self.name, self.style)

    def up_to(self, n: int, split: Split) -> tuple[Item, ...]:
        """Return ``n`` fixed items of a split, or as many as there can be by halving ``n``.

        Raises:
            DataError: If the families cannot give any.
        """
        try:
            return self._draw(split, n, _FIXED_SEED)
        except ValueError as error:
            if n <= len(self.families):
                raise DataError(f"domain '{self.name}' has no items: {error}") from None
            return self.up_to(n // 2, split)

    def _no_track(self, source: Source) -> DataError:
        return DataError(
            f"domain '{self.name}' has no track '{source.track}'\n"
            f"  Available: {', '.join(self.tracks)}."
        )


def answer_in(response: str, style: Style) -> str | None:
    """Return the answer in a response, or the program it amounts to; ``None`` if there is none."""
    return procedural.program(response) if style == "code" else procedural.found_answer(response)


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
