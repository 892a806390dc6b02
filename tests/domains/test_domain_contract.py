"""The contract must fail where a domain breaks it."""

import random

import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import Instruction, Seed, Source
from selfmoe.testing.domains import DomainContract
from selfmoe_domain_math import Math

CONTRACT, SOURCE = DomainContract(), Source()


def test_a_seed_that_is_an_item_is_found():
    (benchmark,) = Math().benchmarks(SOURCE)
    task = benchmark.ask(benchmark.items[7])
    seed = Seed("copy", task.instruction, task.input, "1")
    with pytest.raises(DataError):
        CONTRACT.test_seeds_are_no_benchmark_items(Math(), [seed], [benchmark])


def test_seeds_from_a_global_generator_are_found():
    class Careless(Math):
        def seeds(self, source, n, rng):
            return super().seeds(source, n, random)

    seeds = Careless().seeds(SOURCE, 20, random.Random(0))
    with pytest.raises(AssertionError):
        CONTRACT.test_same_generator_same_seeds(Careless(), SOURCE, seeds)


def test_a_seed_that_breaks_the_list_is_found():
    seeds = [Seed("a", "Add.\n\nNow.", "", "1")]
    with pytest.raises(AssertionError):
        CONTRACT.test_seeds_survive_the_list_of_tasks(Math(), SOURCE, seeds)


def test_a_parser_that_changes_tasks_is_found():
    class Shouting(Math):
        def parse(self, text):
            return Instruction(text.upper())

    seeds = Math().seeds(SOURCE, 2, random.Random(0))
    with pytest.raises(AssertionError):
        CONTRACT.test_seeds_survive_the_list_of_tasks(Shouting(), SOURCE, seeds)


@pytest.mark.parametrize("verdict", [0.0, 1.0])
def test_a_scorer_that_cannot_tell_is_found(verdict):
    (benchmark,) = Math().benchmarks(SOURCE)
    benchmark.score = lambda doc, completion: {"score": verdict}
    check = CONTRACT.test_wrong_scores_zero if verdict else CONTRACT.test_gold_scores_one
    with pytest.raises(AssertionError):
        check([benchmark])


def test_examples_that_are_items_are_found():
    (benchmark,) = Math().benchmarks(SOURCE)
    benchmark.pool = benchmark.items[:2]
    with pytest.raises(AssertionError):
        CONTRACT.test_examples_are_no_items([benchmark])


def test_a_heavy_entry_point_is_found(tmp_path, monkeypatch):
    (tmp_path / "heavy_domain.py").write_text("import torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    heavy = type("Heavy", (Math,), {"__module__": "heavy_domain"})
    with pytest.raises(AssertionError, match="torch"):
        CONTRACT.test_entry_point_module_is_light(heavy())
