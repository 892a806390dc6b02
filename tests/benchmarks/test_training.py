"""The measurements of training: every workload on a toy, and processes that answer."""

from __future__ import annotations

import json

import pytest

from fits import builds, places, worker
from fits.builds import alone, in_turns, largest_difference
from fits.texts import DOMAINS, texts
from selfmoe.testing.models import tiny_tokenizer


@pytest.fixture
def setting(tmp_path):
    base = places.toy(tmp_path / "toy", 300)
    rows = texts(None, tiny_tokenizer(), 400, 4)
    adapters = places.experts(base, tmp_path / "experts", 2, 2)
    return places.setting(tmp_path, base, rows, adapters, batch=2, threads=1)


@pytest.mark.filterwarnings("ignore")
def test_every_workload_is_two_steps_from_the_same_start(setting):
    one = worker.Worker(**json.loads(setting.read_text()))
    found = {name: one.measure(name) for name in worker.WORKLOADS}
    for name, answer in found.items():
        experts = 2 if name in ("packed", "apart") else 1
        assert len(answer["losses"]) == 2 * experts, name
        assert answer["seconds"] > 0
        assert answer["loaded"] > 1
        assert answer["extra"] >= 0
    assert found["expert"]["losses"][0] == pytest.approx(found["trainer"]["losses"][0], rel=1e-3)
    again = one.measure("expert")
    assert again["losses"] == found["expert"]["losses"]


def test_builds_answer_in_turns_and_alone(setting):
    systems = {"here": (places.REPOSITORY, "expert")}
    turns = in_turns(systems, setting, threads=1, rounds=2)["here"]
    once = alone(systems, setting, threads=1, runs=1)["here"]
    assert [len(turns), len(once)] == [2, 1]
    assert largest_difference(turns, once) == 0
    assert largest_difference([{"losses": [2.0, 4.0]}], [{"losses": [2.0, 3.0]}]) == 0.25


def test_a_process_that_ends_is_noticed(setting, tmp_path):
    setting.write_text("{}")
    ended = pytest.raises(RuntimeError, match="expert: the process ended with 1")
    with builds.Build(places.REPOSITORY, setting, 1) as build, ended:
        build.measure("expert")


def test_texts_are_of_all_domains_and_short_enough(tmp_path):
    rows = texts(None, tiny_tokenizer(), 500, 8)
    assert {row["domain"] for row in rows} == set(DOMAINS)
    assert len({row["id"] for row in rows}) == 8
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"question": "1 + 1", "answer": "2"}) + "\n" for _ in "ab"))
    assert [row["response"] for row in texts(file, tiny_tokenizer(), 300, 2)] == ["2", "2"]
    with pytest.raises(ValueError, match="2 of 3 examples have at most 300 tokens"):
        texts(file, tiny_tokenizer(), 300, 3)
