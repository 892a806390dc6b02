import json
import math

import pytest

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.records import Source
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import commit_folder, write_json, write_jsonl
from selfmoe.store.manifest import Manifest
from selfmoe_domain_knowledge.truthfulqa import TruthfulQA
from selfmoe_domain_math import Math

FACTS = {"value": 0.5, "lenient": None, "n": 2, "not_run": None, "extra": {}}
CSV = """Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source
x,y,Is water wet?,Yes,Yes; Quite,No,here
"""


def row(benchmark: Benchmark, number: int, completion: str, **more) -> dict:
    doc = benchmark.items[number]
    return {
        "id": str(doc["id"]), "prompt": f"Header\n\nQ: {number}\nA:", "gold": benchmark.gold(doc),
        "shots_asked": 0, "shots_used": 0, "prompt_tokens": 9, "fits": True,
        "completion": completion, **benchmark.score(doc, completion), **more,
    }  # fmt: skip


def make_run(folder, config: dict, scores: dict[str, tuple[dict, list[dict]]], missing=None):
    """Write a run in which ``base`` was asked some benchmarks."""
    cells = {}
    for identity, (facts, rows) in scores.items():
        name = identity.replace("/", ".")

        def fill(out, name=name, facts=facts, rows=rows):
            write_json(out / f"{name}.json", facts)
            write_jsonl(out / f"{name}.samples.jsonl", rows)

        path = f"evaluations/{name}@0"
        commit_folder(folder / path, fill)
        cells[f"evaluate/base/{identity}"] = {"key": "0", "path": path}
    manifest = Manifest.model_validate(
        {
            "format": 1,
            "base": {"name": "seedling", "hash": "0"},
            "config": config,
            "systems": {"base": "base", "mixse": "router"},
            "cells": {"0": cells},
            "missing": {"0": missing or {}},
        }
    )
    RunDirectory(folder).write_manifest(manifest)
    return folder


@pytest.fixture
def mini():
    (benchmark,) = Math().benchmarks(Source())
    return benchmark


@pytest.fixture
def run(tmp_path, mini):
    rows = [
        row(mini, 0, mini.gold(mini.items[0])),
        {**row(mini, 1, str(mini.items[1]["answer"])), "prompt": "[bold]\x1b[31mIt\u202e[/bold]"},
        {**row(mini, 2, ""), "fits": False},
    ]
    return make_run(tmp_path / "run", {"domains": ["math"]}, {"math/mini": (FACTS, rows)})


def test_every_item_is_shown_with_its_verdict(cli, run, mini):
    shown = cli("explain-score", str(run), "base", "math/mini")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("base on math/mini: 50.00 % of 2 items\nRule: ")
    first, second, third = shown.stdout.split("\nitem ")[1:]
    assert str(mini.items[0]["id"]) in first
    assert "verdict    strict right, lenient right" in first
    assert "Q: 0\n           A:" in first
    assert (
        "verdict    strict wrong, lenient right: right, but not in the form that is asked for"
        in second
    )
    assert f"gold answers, as in: {mini.gold(mini.items[0]).splitlines()[-1]}\n" in shown.stdout
    assert "it was not asked" in third
    assert "prompt   … Header" in first
    assert shown.stdout.endswith("3 of 3 items, 3 items in all.\n")


def test_text_of_a_model_does_nothing_to_the_terminal(cli, run):
    shown = cli("explain-score", str(run), "base", "math/mini").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[31mIt⟨U+202E⟩[/bold]" in shown


def test_only_wrong_ones(cli, run):
    shown = cli("explain-score", str(run), "base", "mini", "--wrong", "--limit", "1").stdout
    assert shown.count("\nitem ") == 1
    assert shown.endswith("1 of 2 items that do not score 1, 3 items in all.\n")


def test_json_holds_whole_prompts(cli, run, mini):
    shown = json.loads(cli("explain-score", str(run), "base", "math/mini", "--json").stdout)
    assert (shown["system"], shown["benchmark"]) == ("base", "math/mini")
    assert [verdict["score"] for verdict in shown["verdicts"]] == [1.0, 0.0, 0.0]
    assert shown["verdicts"][0]["prompt"].startswith("Header\n")
    assert shown["verdicts"][0]["extracted"] == shown["verdicts"][0]["expected"]
    assert shown["verdicts"][2]["extracted"] is None


def test_options_are_shown_with_their_chances(cli, tmp_path):
    (tmp_path / "TruthfulQA.csv").write_text(CSV)
    benchmark = TruthfulQA(Source("benchmark", tmp_path))
    chances = [math.log(0.3), math.log(0.1), math.log(0.6)]
    asked = row(benchmark, 0, "No", loglikelihoods=chances)
    asked |= benchmark.weigh(benchmark.items[0], chances)
    config = {"domains": ["knowledge"], "track": "benchmark", "data_dir": str(tmp_path)}
    scores = {"knowledge/truthfulqa": (FACTS, [asked])}
    run = make_run(tmp_path / "run", config, scores)
    shown = cli("explain-score", str(run), "base", "truthfulqa")
    assert shown.exit_code == 0, shown.stderr
    assert "option      30.00 %     -1.204  ✓ Yes" in shown.stdout
    assert "option      10.00 %     -2.303  ✓ Quite" in shown.stdout
    assert "option   →  60.00 %     -0.511    No" in shown.stdout
    assert "Options: → is the one picked, ✓ is right." in shown.stdout
    assert "verdict    0.4000" in shown.stdout
    assert "share of the options' probability" in shown.stdout


@pytest.mark.parametrize(
    ("system", "benchmark", "message"),
    [
        ("bas", "math/mini", "no system named 'bas'; did you mean 'base'?"),
        ("base", "math/min", "no benchmark named 'math/min'; did you mean 'math/mini'?"),
        ("mixse", "math/mini", "'mixse' was not asked 'math/mini'\n  Asked were: none."),
    ],
)
def test_what_there_is_not_is_one_clear_error(cli, run, system, benchmark, message):
    done = cli("explain-score", str(run), system, benchmark)
    assert done.exit_code == 1
    assert f"Error: {message}" in done.stderr


def test_what_failed_or_was_not_run_says_why(cli, tmp_path, mini):
    config = {"domains": ["math"]}
    missing = {"evaluate/mixse/math/mini": "the disk is full"}
    stored = {**FACTS, "value": None, "not_run": "no sandbox"}
    run = make_run(tmp_path / "run", config, {"math/mini": (stored, [])}, missing)
    for system, message in (("mixse", "the disk is full"), ("base", "no sandbox")):
        done = cli("explain-score", str(run), system, "math/mini")
        assert done.exit_code == 1
        assert message in done.stderr
        assert "was not asked" not in done.stderr


def test_no_run_damage_and_other_data_are_clear_errors(cli, run, tmp_path):
    done = cli("explain-score", str(tmp_path), "base", "math/mini")
    assert "is no finished run" in done.stderr
    done = cli("explain-score", str(run), "base", "math/mini", "--seed", "7")
    assert "no root seed named '7'" in done.stderr
    path = next(run.glob("evaluations/*/*.samples.jsonl"))
    content = path.read_text()
    path.write_text(content + "\n")
    done = cli("explain-score", str(run), "base", "math/mini")
    assert done.exit_code == 1
    assert "bytes instead of" in done.stderr


def test_items_that_are_no_longer_there_are_named(cli, tmp_path, mini):
    rows = [{**row(mini, 0, "x"), "id": "gone"}]
    run = make_run(tmp_path / "run", {"domains": ["math"]}, {"math/mini": (FACTS, rows)})
    done = cli("explain-score", str(run), "base", "math/mini")
    assert "no item 'gone' any more" in done.stderr


def test_an_item_with_another_answer_is_not_the_one_that_was_asked(cli, tmp_path, mini):
    rows = [{**row(mini, 0, "x"), "gold": mini.gold(mini.items[1])}]
    run = make_run(tmp_path / "run", {"domains": ["math"]}, {"math/mini": (FACTS, rows)})
    done = cli("explain-score", str(run), "base", "math/mini")
    assert done.exit_code == 1
    assert f"has no item '{rows[0]['id']}' any more as it was asked" in done.stderr


def test_an_item_with_another_number_of_options_is_not_the_one_that_was_asked(cli, tmp_path):
    file = tmp_path / "TruthfulQA.csv"
    file.write_text(CSV)
    benchmark = TruthfulQA(Source("benchmark", tmp_path))
    asked = row(benchmark, 0, "No", loglikelihoods=[-1.0, -2.0, -3.0])
    config = {"domains": ["knowledge"], "track": "benchmark", "data_dir": str(tmp_path)}
    run = make_run(tmp_path / "run", config, {"knowledge/truthfulqa": (FACTS, [asked])})
    file.write_text(CSV.replace("Yes; Quite", "Yes"))
    done = cli("explain-score", str(run), "base", "truthfulqa")
    assert done.exit_code == 1
    assert "any more as it was asked: its data is not that of the run" in done.stderr


def test_a_name_that_several_benchmarks_have_is_said(cli, tmp_path, mini):
    config = {"domains": ["math", "coding"]}
    run = make_run(tmp_path / "run", config, {"math/mini": (FACTS, [row(mini, 0, "x")])})
    done = cli("explain-score", str(run), "base", "mini")
    assert done.exit_code == 1
    assert "Error: 2 benchmarks are named 'mini': math/mini, coding/mini" in done.stderr


def test_a_run_of_the_whole_pipeline(cli, finished):
    for system in ("base", "expert-anything", "mixse", "ties"):
        shown = cli("explain-score", str(finished), system, "anything/mini")
        assert shown.exit_code == 0, shown.stderr
        assert shown.stdout.count("\nitem ") == 2


def test_no_model_library_is_imported(run, command):
    code = "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'lm_eval']))"
    (run.parent / "sitecustomize.py").write_text(code)
    done = command("explain-score", str(run), "base", "math/mini", paths=(run.parent,))
    assert done.returncode == 0, done.stderr
