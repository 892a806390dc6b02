"""What a domain may return by mistake stops the run with an error that names it and the field."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from selfmoe.contracts.errors import DataError, StageError
from selfmoe.contracts.records import Seed, Source
from selfmoe.evaluation.benchmarks import benchmarks_of, check_items
from selfmoe.kits.domains.mini_track import MiniBenchmark
from selfmoe.pipeline.stages.s1_seeds import check_seeds
from selfmoe.testing import ToyDomain

GOOD = [Seed("a", "Add.", "", "1"), Seed("b", "Double.", "", "2")]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (itertools.repeat(GOOD[0]), "seeds() returned repeat, expected a list of seeds"),
        (None, "seeds() returned NoneType, expected a list"),
        (GOOD * 500_000, "seeds() returned 1000000 seeds, but seeds.n is 2"),
        ([], "seeds() returned 0 seeds, but seeds.n is 2"),
        ([GOOD[0], "b"], "seeds()[1] is str, expected a Seed"),
        ([GOOD[0], Seed("b", "Double.", "", 2)], "seeds()[1].response is int, expected a text"),  # type: ignore[arg-type]
        ([GOOD[0], GOOD[0]], "seeds() returned 2 seeds with the id 'a'"),
    ],
)
def test_seeds_that_are_none_are_refused(seeds: Any, said: str) -> None:
    check_seeds("domain 'x'", GOOD, 2)
    with pytest.raises(StageError) as refusal:
        check_seeds("domain 'x'", seeds, 2)
    assert str(refusal.value).startswith(f"domain 'x': {said}")


def test_there_may_be_fewer_where_the_domain_says_so() -> None:
    check_seeds("domain 'x'", GOOD, 3, fewer=True)
    for seeds in ([], GOOD * 2):
        with pytest.raises(StageError):
            check_seeds("domain 'x'", seeds, 3, fewer=True)


def test_benchmarks_and_items_without_end_are_refused() -> None:
    class Endless(ToyDomain):
        """Never stops."""

        def benchmarks(self, source: Source) -> Any:
            return itertools.repeat(MiniBenchmark(self, "test"))

    with pytest.raises(DataError, match="'toy' returns no list of benchmarks but repeat"):
        benchmarks_of(Endless(), Source())
    (benchmark,) = ToyDomain().benchmarks(Source())
    benchmark.__dict__["items"] = itertools.repeat({"id": "a"})
    with pytest.raises(DataError, match="no list of items in benchmark 'mini' but repeat"):
        check_items("toy", benchmark)


class Lost(MiniBenchmark):
    """Scores are no numbers."""

    def score(self, doc: Any, completion: str) -> dict[str, float]:
        return {"score": math.nan}


class Hostile(ToyDomain):
    """Seeds without end."""

    name = "hostile"

    def seeds(self, source: Source, n: int, rng: Any) -> Any:
        return itertools.repeat(GOOD[0])


class Numberless(ToyDomain):
    """Scores that are no numbers."""

    name = "numberless"

    def benchmarks(self, source: Source) -> Any:
        return [Lost(self, source.split)]


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        (Hostile, r"domain 'hostile' \(hostile test\): seeds\(\) returned repeat"),
        (Numberless, r"benchmark 'numberless/mini' scored item '.*' as \{'score': nan\}"),
    ],
)
def test_a_run_says_whose_fault_it_is(toy_run: Any, domain: type, said: str) -> None:
    with pytest.raises(Exception, match=said):
        toy_run(domain, domains=[domain.name])
