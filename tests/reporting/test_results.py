"""``report/results.json``: its shape, its intervals, its tables."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from rich.console import Console
from scipy.stats import t

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError
from selfmoe.evaluation.statistics import wilson
from selfmoe.pipeline.execute import manifest_of
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.reporting.html.scores import averages
from selfmoe.reporting.model import RunResults
from selfmoe.reporting.results import collect, read_results, write_results
from selfmoe.reporting.terminal.tables import best_system, print_results, scores_table
from selfmoe.store.cells import Cells
from selfmoe.store.files import SEAL, write_json

SETTINGS = {
    "domains": ["math", "knowledge"],
    "compose": {"mixse": {"router": "topk"}, "ties": {"merge": "ties"}},
}
SHARES = {"all": {"math": 0.75, "knowledge": 0.25}, "response": {"math": 0.5, "knowledge": 0.5}}


def score_of(label: str, root: int) -> float:
    """Return a made-up score: experts are good at what they are made for."""
    system, domain, _ = f"{label}/".split("/", 2)
    return (0.8 if system in (f"expert-{domain}", "mixse") else 0.4) + root / 100


def finished(out: Path, **changes: Any) -> RunPlan:
    """Return plans whose cells look done, with made-up scores."""
    plans = make_plans(resolve({**SETTINGS, **changes, "out": str(out)}))
    for plan in plans:
        for task in plan.tasks:
            folder = task.cell.path
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / SEAL, {"seconds": 1.5, "files": {}})
            if task.stage == "curate":
                dropped = {"brainstorm": {"empty": 1}, "curate": {"duplicate": 2}}
                counts = {"written": 9, "instructions": 8, "kept": 6, "dropped": dropped}
                write_json(folder / "yield.json", counts)
            if task.stage == "evaluate":
                system, domain, _ = task.label.split("/")
                score = {
                    "benchmark": f"{domain}/mini",
                    "role": "target",
                    "value": score_of(task.label, plan.root),
                    "stderr": 0.03,
                    "n": 200,
                    "lenient": 0.9,
                    "not_run": None,
                    "extra": {},
                    "routing": {"shares": SHARES} if system == "mixse" else None,
                }
                write_json(folder / f"{domain}.mini.json", score)
    plans.first.directory.write_manifest(manifest_of(plans, Outcome()))
    return plans


def root_of(plans: RunPlan) -> Path:
    """Return the run directory of plans."""
    return plans.first.directory.root


def collected(plans: RunPlan) -> RunResults:
    """Return the results of plans that look done."""
    return collect(Cells(root_of(plans)))


def test_one_root_seed(tmp_path: Path) -> None:
    results = collected(finished(tmp_path))
    text = json.dumps(results.to_json(), allow_nan=False)
    assert RunResults.model_validate_json(text) == results
    systems = {system.name: system for system in results.systems}
    assert {name: system.kind for name, system in systems.items()} == {
        "base": "base",
        "base-5shot": "base",
        "expert-math": "expert",
        "expert-knowledge": "expert",
        "mixse": "router",
        "ties": "merge",
    }
    assert next(iter(systems)) == "base"
    for name, system in systems.items():
        assert set(system.scores) == {"math/mini", "knowledge/mini"}
        for benchmark, score in system.scores.items():
            expected = score_of(f"{name}/{benchmark.partition('/')[0]}", 0)
            assert (score.value, score.stderr, score.n) == (expected, 0.03, 200)
            assert (score.low, score.high) == wilson(expected * 200, 200)
        values = [score.value for score in system.scores.values()]
        assert system.average == pytest.approx(fmean(values))
    assert systems["expert-math"].average == pytest.approx(0.6)
    assert results.interval == "items"
    assert results.seeds == [0]


def test_routing_shares_of_routed_systems_only(tmp_path: Path) -> None:
    results = collected(finished(tmp_path))
    assert results.routing == {
        "mixse": {"math/mini": SHARES["all"], "knowledge/mini": SHARES["all"]}
    }
    assert results.routing_response["mixse"]["math/mini"] == SHARES["response"]


def test_several_root_seeds(tmp_path: Path) -> None:
    results = collected(finished(tmp_path, seed=[0, 1, 4]))
    assert results.interval == "root seeds"
    assert results.seeds == [0, 1, 4]
    (mixse,) = [system for system in results.systems if system.name == "mixse"]
    score = mixse.scores["math/mini"]
    values = [score_of("mixse/math", root) for root in (0, 1, 4)]
    stderr = stdev(values) / sqrt(3)
    half = t.ppf(0.975, 2) * stderr
    assert score.by_seed == values
    assert score.lenient_by_seed == [0.9, 0.9, 0.9]
    assert score.value == pytest.approx(fmean(values))
    assert score.stderr == pytest.approx(stderr)
    assert score.low == pytest.approx(score.value - half)
    assert score.high == pytest.approx(score.value + half)


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_missing_score_is_neither_averaged_nor_hidden(tmp_path: Path, seeds: int) -> None:
    plans = finished(tmp_path, seed=list(range(seeds)))
    (task,) = [t for t in plans.first.tasks if t.name == "evaluate mixse/math/mini"]
    shutil.rmtree(task.cell.path)
    results = collected(plans)
    (mixse,) = [system for system in results.systems if system.name == "mixse"]
    whole = [
        fmean(score_of(f"mixse/{domain}", root) for domain in ("math", "knowledge"))
        for root in range(1, seeds)
    ]
    assert mixse.average == pytest.approx(fmean(whole))
    assert (mixse.average_low is None) == (seeds == 2)
    assert f"mixse on math/mini: {seeds - 1} of {seeds}" in shown(results)
    marks = averages(results).marks
    assert [mark.name for mark in marks] == [s.name for s in results.systems]


def test_averages_over_other_targets_are_not_compared(tmp_path: Path) -> None:
    plans = finished(tmp_path)
    (task,) = [t for t in plans.first.tasks if t.name == "evaluate mixse/math/mini"]
    shutil.rmtree(task.cell.path)
    results = collected(plans)
    (mixse,) = [system for system in results.systems if system.name == "mixse"]
    assert mixse.covers == [1, 2]
    (row,) = [line for line in shown(results).splitlines() if "mixse " in line and "over 1" in line]
    assert "over 1 of 2" in row
    assert row.rstrip(" │").endswith("–")
    assert best_system(results.systems) != "mixse"


def test_what_was_not_run_has_no_value(tmp_path: Path) -> None:
    plans = finished(tmp_path)
    for task in plans.first.of("evaluate").values():
        if "/math/" in task.label:
            (path,) = task.cell.path.glob("math.mini.json")
            score = json.loads(path.read_text())
            write_json(path, {**score, "value": None, "stderr": None, "not_run": "no sandbox"})
    results = collected(plans)
    for system in results.systems:
        assert system.scores["math/mini"].value is None
        assert system.scores["math/mini"].not_run == "no sandbox"
        assert system.average == system.scores["knowledge/mini"].value
        assert system.covers == [1, 2]
    assert "not run: no sandbox" in shown(results)


def test_other_than_target_benchmarks_do_not_count(tmp_path: Path) -> None:
    plans = finished(tmp_path)
    for path in tmp_path.glob("evaluations/*/math.mini.json"):
        write_json(path, {**json.loads(path.read_text()), "role": "non-target"})
    results = collected(plans)
    for system in results.systems:
        assert system.average == system.scores["knowledge/mini"].value
    first, other = (scores_table(results, role) for role in ("target", "non-target"))
    headers = [[column.header for column in table.columns] for table in (first, other)]
    assert headers[0] == ["system", "kind", "knowledge/mini", "average", "gain"]
    assert headers[1] == ["system", "kind", "math/mini"]
    assert "Other benchmarks have no part in average and gain." in shown(results)


def test_it_is_written_when_it_changes(tmp_path: Path) -> None:
    path = write_results(root_of(finished(tmp_path)))
    assert path == tmp_path / "report" / "results.json"
    before = path.stat().st_mtime_ns
    write_results(root_of(finished(tmp_path)))
    assert path.stat().st_mtime_ns == before
    write_results(root_of(finished(tmp_path, report={"confidence": 0.5})))
    assert read_results(tmp_path).confidence == 0.5
    path.write_text("{")
    with pytest.raises(RunError, match=r"(?s)results\.json.*selfmoe run"):
        read_results(tmp_path)


def shown(results: Any) -> str:
    stream = StringIO()
    print_results(results, Console(file=stream, width=200))
    return stream.getvalue()


@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_tables(tmp_path: Path, seed: Any) -> None:
    text = shown(collected(finished(tmp_path, seed=seed)))
    for part in ("expert-math", "mixse", "math/mini", "n = 200 items", "2 duplicate", "1 empty"):
        assert part in text
    assert ("root seeds" if isinstance(seed, list) else "items") in text
