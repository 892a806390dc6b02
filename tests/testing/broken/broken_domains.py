"""Domains of which each breaks one check, of components, domains or benchmarks: ``fails``."""

from __future__ import annotations

import random

from pydantic import ConfigDict

from selfmoe.contracts import ComponentConfig, Instruction, Prompts, Rejected, Seed
from selfmoe.kits.domains import MiniBenchmark
from selfmoe.testing import ToyDomain


class Unexplained(ToyDomain):
    __doc__ = None
    fails = "test_says_what_it_is"


class Unaddressed(ToyDomain):
    """Refers to nothing that can be followed."""

    fails = "test_reference_is_an_address"
    reference_url = "our paper"


class Careless(ToyDomain):
    """Takes any option."""

    fails = "test_unknown_option_is_rejected"

    class Config(ComponentConfig):
        model_config = ConfigDict(extra="ignore")


class Unwritable(ToyDomain):
    """Has a default that is no value of its option."""

    fails = "test_options_survive_yaml"

    class Config(ComponentConfig):
        size: int = None


class Presumptuous(ToyDomain):
    """Recommends an option it does not have."""

    fails = "test_presets_hold_options"
    presets = {"paper": {"speed": 3}}  # noqa: RUF012


class Nameless(ToyDomain):
    """Is about nothing."""

    fails = "test_names_its_field"
    description = ""


class Trackless(ToyDomain):
    """Does not declare its track."""

    fails = "test_offers_the_track"
    tracks = ("benchmark",)


class Short(ToyDomain):
    """Has a seed too few."""

    fails = "test_as_many_seeds_as_asked_for"

    def seeds(self, source, n, rng):
        return super().seeds(source, n, rng)[1:]


class Moody(ToyDomain):
    """Draws other seeds every time."""

    fails = "test_same_generator_same_seeds"

    def seeds(self, source, n, rng):
        return super().seeds(source, n, random.Random())


class Leaking(ToyDomain):
    """Has an item among its seeds."""

    fails = "test_seeds_are_no_benchmark_items"

    def seeds(self, source, n, rng):
        item = self.benchmarks(source)[0].items[7]
        leak = Seed("leak", item["instruction"], item["input"], item["response"])
        return [leak, *super().seeds(source, n, rng)[1:]]


class Shouting(ToyDomain):
    """Changes what it parses."""

    fails = "test_seeds_survive_the_list_of_tasks"

    def parse(self, text):
        task = super().parse(text)
        return task if isinstance(task, Rejected) else Instruction(task.instruction.upper())


class SpacedPrompts(Prompts):
    def respond(self, seeds, task):
        return super().respond(seeds, task) + " "


class Spaced(ToyDomain):
    """Ends its prompts in a space."""

    fails = "test_generation_prompts_end_where_the_model_goes_on"

    def prompts(self, source):
        return SpacedPrompts()


class Unfilled(ToyDomain):
    """Leaves a placeholder in its prompts."""

    fails = "test_generation_prompts_are_filled_in"

    def prompts(self, source):
        return Prompts(brainstorm_header="Tasks of {description}.")


class Picky(ToyDomain):
    """Cannot parse nothing."""

    fails = "test_odd_tasks_are_parsed"

    def parse(self, text):
        return (
            Instruction(text.strip().splitlines()[0]) if "\n" not in text else super().parse(text)
        )


class Ascii(ToyDomain):
    """Cannot read other scripts."""

    fails = "test_odd_answers_are_judged"

    def answer(self, response, source):
        return response.encode("ascii").decode()


class Strict(ToyDomain):
    """Refuses what it asks for."""

    fails = "test_seeds_are_acceptable"

    def accept(self, example, source):
        return Rejected("not good enough")


# --- benchmarks -----------------------------------------------------------------------------------


class Asking(ToyDomain):
    """A domain with another benchmark."""

    kind = MiniBenchmark

    def benchmarks(self, source):
        return [self.kind(self, source.split)]


class Twice(Asking):
    """Has an item twice."""

    fails = "test_ids_are_unique"

    class kind(MiniBenchmark):
        @property
        def items(self):
            found = [item.to_dict() for item in self._domain.up_to(20, self._split)]
            return [*found, found[0]]


class Telling(Asking):
    """Shows items solved."""

    fails = "test_examples_are_no_items"

    class kind(MiniBenchmark):
        @property
        def pool(self):
            return self.items[:2]


class Trailing(Asking):
    """Asks with a space behind."""

    fails = "test_benchmark_prompts_end_where_the_model_goes_on"

    class kind(MiniBenchmark):
        def plain(self, doc):
            return super().plain(doc) + " "


class Literal(Asking):
    """Knows its answers to the letter only."""

    fails = "test_gold_scores_one"

    class kind(MiniBenchmark):
        def score(self, doc, completion):
            return {"score": float(completion == self.gold(doc))}


class Generous(Asking):
    """Calls the right answer wrong."""

    fails = "test_wrong_scores_zero"

    class kind(MiniBenchmark):
        def wrong(self, doc):
            return self.gold(doc)


class Hiding(Asking):
    """Shows no answer."""

    fails = "test_gold_shows_an_answer"

    class kind(MiniBenchmark):
        def extract(self, doc, completion):
            return None


class Choiceless(Asking):
    """Offers everything but the answer."""

    fails = "test_gold_is_a_choice"

    class kind(MiniBenchmark):
        def choices(self, doc):
            return ["yes", "no"]


class Trusting(Asking):
    """Takes silence for an answer."""

    fails = "test_odd_answers_score_zero"

    class kind(MiniBenchmark):
        def score(self, doc, completion):
            return super().score(doc, completion) if completion.strip() else {"score": 1.0}
