"""What every domain must hold, as a test class to subclass.

    class TestLaw(DomainContract):
        @pytest.fixture
        def domain(self):
            return Law()

A second subclass with another ``source`` checks another track.
"""

from __future__ import annotations

import random

import pytest

from selfmoe.components import Benchmark, Component, Domain
from selfmoe.evaluation.benchmarks import choose
from selfmoe.evaluation.leaks import refuse_leaks
from selfmoe.prompts import task_block
from selfmoe.records import Instruction, Seed, Source
from selfmoe.testing.benchmarks import BenchmarkContract
from selfmoe.testing.components import ComponentContract


class DomainContract(ComponentContract, BenchmarkContract):
    """Checks of a domain on one source.

    Attributes:
        n_seeds: Seeds to draw.
    """

    n_seeds = 20

    @pytest.fixture
    def domain(self) -> Domain:
        """Return the domain to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'domain'")

    @pytest.fixture
    def component(self, domain: Domain) -> Component:
        """Return the domain."""
        return domain

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
        """Return the benchmarks, without those that are no target and whose data is missing."""
        return choose(domain, source, None).asked

    # --- the component ---

    def test_names_its_field(self, domain: Domain) -> None:
        """It says in a few words, for prompts, what it is about."""
        assert domain.description.strip()

    def test_offers_the_track(self, domain: Domain, source: Source) -> None:
        """The track is among those declared."""
        assert source.track in domain.tracks

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
