"""What every domain must hold, as a test class to subclass.

    class TestBiomed(DomainContract):
        @pytest.fixture
        def domain(self):
            return Biomed()

A second subclass with another ``source`` checks another track.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from selfmoe.components import Benchmark, Domain
from selfmoe.evaluation.leaks import item_keys, refuse_leaks
from selfmoe.prompts import alpaca, task_block
from selfmoe.records import Instruction, Seed, Source
from selfmoe.testing.light import assert_light
from selfmoe.text import normalise


class DomainContract:
    """Checks of a domain on one source.

    Attributes:
        n_seeds: Seeds to draw.
        sandbox_items: Items to score where scoring runs code, which is slow.
    """

    n_seeds = 20
    sandbox_items = 40

    @pytest.fixture
    def domain(self) -> Domain:
        """Return the domain to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'domain'")

    @pytest.fixture
    def source(self) -> Source:
        """Return where the domain takes its data from; the mini track unless overridden."""
        return Source()

    @pytest.fixture
    def seeds(self, domain: Domain, source: Source) -> list[Seed]:
        """Return some seeds."""
        return domain.seeds(source, self.n_seeds, random.Random(0))

    @pytest.fixture
    def benchmarks(self, domain: Domain, source: Source) -> list[Benchmark]:
        """Return the benchmarks."""
        return domain.benchmarks(source)

    # --- the component ---

    def test_says_what_it_is(self, domain: Domain) -> None:
        """Name, summary and description are there; the name can be part of a path."""
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", domain.name)
        assert domain.summary()
        assert domain.description

    def test_offers_the_track(self, domain: Domain, source: Source) -> None:
        """The track is among those declared."""
        assert source.track in domain.tracks

    def test_rejects_unknown_options(self, domain: Domain) -> None:
        """A misspelt option is an error."""
        with pytest.raises(ValidationError):
            domain.Config(no_such_option=1)  # type: ignore[call-arg]

    def test_entry_point_is_light(self, domain: Domain) -> None:
        """The module can be imported without torch and its like."""
        assert_light(type(domain).__module__)

    # --- seeds ---

    def test_as_many_seeds_as_asked_for(self, seeds: list[Seed]) -> None:
        """The number is right and ids are unique."""
        assert len(seeds) == self.n_seeds
        assert len({seed.id for seed in seeds}) == len(seeds)

    def test_same_generator_same_seeds(
        self, domain: Domain, source: Source, seeds: list[Seed]
    ) -> None:
        """Seeds depend on the generator they are given and on nothing else."""
        assert domain.seeds(source, self.n_seeds, random.Random(0)) == seeds

    def test_seeds_are_no_benchmark_items(
        self, domain: Domain, seeds: list[Seed], benchmarks: list[Benchmark]
    ) -> None:
        """No seed asks the question of an item."""
        refuse_leaks(domain.name, seeds, benchmarks)

    def test_seeds_survive_the_list_of_tasks(
        self, domain: Domain, source: Source, seeds: list[Seed]
    ) -> None:
        """A seed's task, written by the model as the next of the list, is read back as it was."""
        stop = domain.prompts(source).stop
        for seed in seeds:
            text = task_block(seed.instruction, seed.input).removeprefix("Instruction:")
            assert not any(mark in text for mark in stop), seed.id
            assert not any(mark in seed.response for mark in stop), seed.id
            assert domain.parse(text) == Instruction(seed.instruction, seed.input)

    def test_generation_prompts_end_where_the_model_goes_on(
        self, domain: Domain, source: Source, seeds: list[Seed]
    ) -> None:
        """Nothing, not even a space, stands behind the last colon."""
        prompts = domain.prompts(source)
        task = Instruction(seeds[0].instruction, seeds[0].input)
        assert prompts.brainstorm(seeds[1:4]).endswith("4. Instruction:")
        assert prompts.respond(seeds[1:4], task).endswith("\nResponse:")

    # --- benchmarks ---

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
            from selfmoe.sandbox import best_tier

            if best_tier() is None:
                pytest.skip("no sandbox here: generated code is not run")
