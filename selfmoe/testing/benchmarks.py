"""What every benchmark must hold, as a test class to subclass.

    class TestRiddles(BenchmarkContract):
        @pytest.fixture
        def benchmarks(self):
            return [Riddles(Source("benchmark", FOLDER))]

``DomainContract`` includes these checks for all benchmarks of a domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.text import normalise
from selfmoe.evaluation.leaks import item_keys


class BenchmarkContract:
    """Checks of some benchmarks.

    Attributes:
        sandbox_items: Items to score where scoring runs code, which is slow.
    """

    sandbox_items = 40

    @pytest.fixture
    def benchmarks(self) -> list[Benchmark]:
        """Return the benchmarks to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'benchmarks'")

    def test_ids_are_unique(self, benchmarks: list[Benchmark]) -> None:
        """Benchmarks by name, items by id."""
        assert benchmarks
        assert len({benchmark.name for benchmark in benchmarks}) == len(benchmarks)
        for benchmark in benchmarks:
            assert len({doc["id"] for doc in benchmark.items}) == len(benchmark.items) > 0

    def test_examples_are_no_items(self, benchmarks: list[Benchmark]) -> None:
        """What is shown solved is never asked, and there is enough of it."""
        for benchmark in benchmarks:
            items = item_keys(benchmark)
            assert len(benchmark.pool) >= benchmark.shots
            for doc in benchmark.pool:
                task = benchmark.ask(doc)
                assert normalise(task.instruction, task.input) not in items

    def test_benchmark_prompts_end_where_the_model_goes_on(
        self, benchmarks: list[Benchmark]
    ) -> None:
        """Alpaca prompts end in their header's line, plain ones in no space."""
        for benchmark in benchmarks:
            for doc in benchmark.items:
                assert alpaca(benchmark.ask(doc)).endswith("### Response:\n")
                plain = benchmark.plain(doc)
                assert plain
                assert not plain.endswith(" ")

    def test_gold_scores_one(self, benchmarks: list[Benchmark]) -> None:
        """Every right answer is told right, also with space around it."""
        for benchmark, doc in self._scored(benchmarks):
            gold = benchmark.gold(doc)
            assert set(benchmark.score(doc, gold).values()) == {1.0}, doc["id"]
            if benchmark.choices(doc) is None:
                assert set(benchmark.score(doc, f" {gold}\n").values()) == {1.0}, doc["id"]

    def test_wrong_scores_zero(self, benchmarks: list[Benchmark]) -> None:
        """Every wrong answer is told wrong."""
        for benchmark, doc in self._scored(benchmarks):
            assert set(benchmark.score(doc, benchmark.wrong(doc)).values()) == {0.0}, doc["id"]

    def test_gold_shows_an_answer(self, benchmarks: list[Benchmark]) -> None:
        """What counts as the answer of a right completion can be shown."""
        for benchmark in benchmarks:
            for doc in benchmark.items:
                assert benchmark.extract(doc, benchmark.gold(doc)), doc["id"]

    def test_gold_is_a_choice(self, benchmarks: list[Benchmark]) -> None:
        """Where options are compared, the right answer is one of them."""
        for benchmark in benchmarks:
            for doc in benchmark.items:
                options = benchmark.choices(doc)
                assert options is None or benchmark.gold(doc) in options

    @pytest.mark.parametrize("completion", ["", " ", "\n\n", "?", "\x00", "####", "答え"])
    def test_odd_answers_score_zero(self, benchmarks: list[Benchmark], completion: str) -> None:
        """Nothing a model may write stops the evaluation."""
        for benchmark in benchmarks:
            self._need_sandbox(benchmark)
            assert set(benchmark.score(benchmark.items[0], completion).values()) == {0.0}

    def _scored(self, benchmarks: list[Benchmark]) -> Iterator[tuple[Benchmark, Mapping[str, Any]]]:
        for benchmark in benchmarks:
            self._need_sandbox(benchmark)
            limit = self.sandbox_items if benchmark.needs_sandbox else None
            for doc in benchmark.items[:limit]:
                yield benchmark, doc

    def _need_sandbox(self, benchmark: Benchmark) -> None:
        if benchmark.needs_sandbox:
            from selfmoe.evaluation.sandbox import best_tier

            if best_tier() is None:
                pytest.skip("no sandbox here: generated code is not run")
