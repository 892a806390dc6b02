"""A run is foretold from smaller ones, made, and compared with what was foretold."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import forecasts

RUN = """
base: {base}
domains: [anything, whatever]
seeds: {{n: 6}}
brainstorm: {{n: 8, max_new_tokens: 8, batch_size: 4}}
respond: {{max_new_tokens: 8}}
specialise: {{options: {{epochs: 1, batch_size: 2}}}}
compose: {{ties: {{merge: ties}}}}
evaluate: {{limit: 1, base_shots: 0, benchmarks: [anything/mini]}}
"""


@pytest.fixture
def file(tmp_path, tiny_base_folder, plugin_code):
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
    path = tmp_path / "run.yaml"
    path.write_text(RUN.format(base=tiny_base_folder))
    return path


def test_tokens_and_room_are_those_of_twice_the_size(file, tmp_path):
    target = tmp_path / "found.json"
    small = ["--small", "brainstorm.n=4", "--small", "brainstorm.n=6"]
    done = CliRunner().invoke(
        forecasts.command, [str(file), *small, "--name", "toy", "--json", str(target)]
    )
    assert done.exit_code == 0, done.output
    assert "toy: " in done.output
    [toy] = json.loads(target.read_text())["runs"]
    forecasts.keep({**toy, "name": "again"}, target)
    assert [one["name"] for one in json.loads(target.read_text())["runs"]] == ["again", "toy"]
    for stage in ("seeds", "evaluate", "compose"):
        told, took = toy["stages"][stage]["tokens"]
        assert told == took
    learnt = toy["stages"]["specialise"]["tokens"]
    assert learnt[0] == pytest.approx(learnt[1], rel=0.3)


def test_what_was_foretold_stands_beside_what_was_taken():
    told = {"respond": {"seconds": 3.0, "tokens": 30.0, "bytes": 9.0}}
    took = {"respond": {"seconds": 2.0, "tokens": 30.0, "bytes": 3.0}}
    found = forecasts.compared(told, took)
    assert found["stages"] == {"respond": {"seconds": [3, 2], "tokens": [30, 30], "bytes": [9, 3]}}
    assert found["ratios"] == {"seconds": 1.5, "tokens": 1.0, "bytes": 3.0}
    with pytest.raises(AssertionError):
        forecasts.compared(told, {})
