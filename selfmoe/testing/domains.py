"""What every domain must hold, as a test class to subclass.

    class TestLaw(DomainContract):
        @pytest.fixture
        def domain(self):
            return Law()

A second subclass with another ``source`` checks another track.
"""

from __future__ import annotations

import random
import re

import pytest

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.component import Component
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.prompts import task_block
from selfmoe.contracts.records import Example, Instruction, Rejected, Seed, Source
from selfmoe.evaluation.benchmarks import choose
from selfmoe.evaluation.leaks import refuse_leaks
from selfmoe.evaluation.sandbox import best_tier
from selfmoe.pipeline.stages.s1_seeds import check_seeds
from selfmoe.testing.benchmarks import BenchmarkContract
from selfmoe.testing.components import ComponentContract

ODD = [
    "",
    " ",
    "\n\n",
    "\x00",
    "####",
    "#### ",
    "```",
    "1/0",
    "答え: ∞",
    "\\frac{",
    "9" * 400,
    "\ud800",
]
"""Texts that a model may write and nobody expects."""

PLACEHOLDER = re.compile(r"\{\{?\s*[A-Za-z_][\w.]*\s*\}\}?|<[A-Z_]+>")
"""A place in a template that something should have been put into."""


class DomainContract(ComponentContract, BenchmarkContract):
    """Checks of a domain on one source.

    Attributes:
        n_seeds: Seeds to draw.
        judged_seeds: How many of them the domain must accept; judging may run code.
    """

    n_seeds = 20
    judged_seeds = 5

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
        assert not PLACEHOLDER.search(domain.description)

    def test_offers_the_track(self, domain: Domain, source: Source) -> None:
        """The track is among those declared."""
        assert source.track in domain.tracks

    # --- seeds ---

    def test_as_many_seeds_as_asked_for(self, seeds: list[Seed]) -> None:
        """They are a list of that many, each of texts, no id twice; a run stops otherwise."""
        check_seeds("the domain", seeds, self.n_seeds)

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

    def test_generation_prompts_are_filled_in(self, domain: Domain, source: Source) -> None:
        """No placeholder such as ``{description}`` is left in what opens a prompt."""
        prompts = domain.prompts(source)
        for text in (prompts.brainstorm_header, prompts.respond_header):
            assert not PLACEHOLDER.search(text), text

    # --- judging what a model wrote ---

    @pytest.mark.parametrize("text", ODD)
    def test_odd_tasks_are_parsed(self, domain: Domain, text: str) -> None:
        """Whatever a model writes for a task is a task or refused with a reason."""
        found = domain.parse(text)
        assert isinstance(found, Instruction | Rejected)
        if isinstance(found, Rejected):
            assert found.reason

    @pytest.mark.parametrize("text", ODD)
    def test_odd_answers_are_judged(
        self, domain: Domain, source: Source, seeds: list[Seed], text: str
    ) -> None:
        """Whatever a model answers is taken or refused with a reason, never an error."""
        answer = domain.answer(text, source)
        assert answer is None or isinstance(answer, str)
        for task in (Instruction(seeds[0].instruction, seeds[0].input), Instruction(text, text)):
            example = Example("odd", domain.name, task.instruction, task.input, text)
            for verdict in self._verdicts(domain, example, source):
                assert verdict is None or (isinstance(verdict, Rejected) and verdict.reason)

    def test_seeds_are_acceptable(self, domain: Domain, source: Source, seeds: list[Seed]) -> None:
        """The domain takes its own seeds for right: it would refuse what it asks for otherwise."""
        for seed in seeds[: self.judged_seeds]:
            example = Example(seed.id, domain.name, seed.instruction, seed.input, seed.response)
            assert set(self._verdicts(domain, example, source)) == {None}, seed.id

    def _verdicts(self, domain: Domain, example: Example, source: Source) -> list[Rejected | None]:
        """Return what the domain says of an example, as far as it can be said here."""
        found = [domain.accept(example, source)]
        if not domain.verifies_by_running or best_tier() is not None:
            found.append(domain.verify(example, source))
        return found
