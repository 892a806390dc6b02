"""Differences between systems are those of the same items; intervals are scipy's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pytest
from scipy import stats

from selfmoe.reporting.model import Changes, Estimate
from selfmoe.reporting.numbers import points
from selfmoe.reporting.paired import changes, differences
from selfmoe.reporting.report import write_report
from selfmoe.reporting.results import collect
from selfmoe.store.cells import Cells
from selfmoe.store.files import write_jsonl

Answers = dict[tuple[str, str, int], list[float]]


def answered(run: Path, n: int = 40) -> Answers:
    """Write samples beside every score of a hand-made run, and return the values by cell."""
    manifest = json.loads((run / "manifest.json").read_text())
    found = {}
    for seed, cells in manifest["cells"].items():
        for name, facts in cells.items():
            if name.startswith("evaluate/"):
                _, system, domain, _ = name.split("/")
                rng = Random(f"{name}{0 if system == 'base' else seed}")
                values = [float(rng.random() < 0.6) for _ in range(n)]
                rows = [
                    {"id": f"item-{i}", "score": value, "lenient": 1.0}
                    for i, value in enumerate(values)
                ]
                rng.shuffle(rows)  # items are told by their ids, not by their places
                text = "".join(json.dumps(row) + "\n" for row in rows)
                (run / facts["path"] / f"{domain}.mini.samples.jsonl").write_text(text)
                found[system, domain, int(seed)] = values
    return found


def of(run: Path) -> Any:
    return differences(Cells(run), 0.9)


def test_items_of_one_benchmark(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    run = fake_run(tmp_path, domains=["math"])
    values = answered(run, n=4000)
    found = of(run)
    assert found.reference == "mixse"
    assert list(found.systems) == ["base", "base-5shot", "ties", "expert-math"]
    theirs = stats.ttest_rel(values["ties", "math", 0], values["mixse", "math", 0])
    ours = found.systems["ties"].score
    low, high = theirs.confidence_interval(0.9)
    assert ours.difference == pytest.approx(
        fmean(values["ties", "math", 0]) - fmean(values["mixse", "math", 0])
    )
    # 4 000 items: Student's t and the normal distribution are one.
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-3, abs=1e-5)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-2)


def test_several_root_seeds(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    seeds = range(5)
    run = fake_run(tmp_path, seeds=list(seeds))
    values = answered(run)
    averages = {
        system: [fmean(fmean(values[system, d, s]) for d in ("math", "coding")) for s in seeds]
        for system in ("base", "mixse")
    }
    theirs = stats.ttest_rel(averages["base"], averages["mixse"])
    ours = of(run).systems["base"].score
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval(0.9)))


def test_equal_answers_differ_by_nothing(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    answered(run)
    lenient = of(run).systems["base"].lenient
    assert lenient == Estimate(difference=0.0, low=0.0, high=0.0, p=1.0)


@pytest.mark.parametrize("what", ["missing", "other items", "no such score"])
def test_without_the_same_items_nothing_is_compared(
    fake_run: Callable[..., Path], tmp_path: Path, what: str
) -> None:
    run = fake_run(tmp_path)
    answered(run)
    manifest = json.loads((run / "manifest.json").read_text())
    path = run / manifest["cells"]["0"]["evaluate/ties/math/mini"]["path"]
    (samples,) = path.glob("*.samples.jsonl")
    if what == "missing":
        samples.unlink()
    else:
        old, new = ("item-3", "item-99") if what == "other items" else ("score", "other")
        samples.write_text(samples.read_text().replace(f'"{old}"', f'"{new}"'))
    found = of(run).systems
    assert found["ties"].score is None
    assert found["base"].score is not None


def test_other_than_targets_do_not_count(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    run = fake_run(tmp_path, non_target="coding")
    values = answered(run)
    assert of(run).systems["base"].score.difference == pytest.approx(
        fmean(values["base", "math", 0]) - fmean(values["mixse", "math", 0])
    )


def test_a_run_of_experts_alone_has_nothing_to_compare_with(
    fake_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = fake_run(tmp_path, systems={"base": "base", "expert-math": "expert"})
    answered(run)
    assert of(run) is None
    assert collect(Cells(run)).paired is None


def test_the_page_shows_it(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    assert "answer by answer" not in write_report(run).read_text("utf-8")
    answered(run)
    ours = of(run).systems["ties"].score
    page = write_report(run).read_text("utf-8")
    assert "Compared with mixse, answer by answer" in page
    assert f">{points(ours.difference, 0)}<" in page
    assert "normal, over the items" in page


def test_characters_that_end_lines_elsewhere_are_text(
    fake_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = fake_run(tmp_path)
    answered(run)
    before = of(run)
    for path in run.rglob("*.samples.jsonl"):
        rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
        write_jsonl(path, [{**row, "prompt": "a\u2028b\u0085c\x1d"} for row in rows])
    assert of(run) == before


def test_differences_without_spread_are_not_sure(
    fake_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = fake_run(tmp_path, domains=["math"])
    answered(run, n=6)
    manifest = json.loads((run / "manifest.json").read_text())
    ties = manifest["cells"]["0"]["evaluate/ties/math/mini"]["path"]
    for path in run.rglob("*.samples.jsonl"):
        right = float(path.parent == run / ties)
        rows = [{"id": str(i), "score": right, "lenient": None} for i in range(6)]
        write_jsonl(path, rows)
    found = of(run).systems
    assert found["ties"].score == Estimate(difference=1.0, low=None, high=None, p=None)
    assert found["ties"].lenient is None
    assert "+100.0" in write_report(run).read_text("utf-8")


def test_what_neither_was_asked_is_left_out(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    run = fake_run(tmp_path, sick="coding")
    values = answered(run)
    assert of(run).systems["base"].score.difference == pytest.approx(
        fmean(values["base", "math", 0]) - fmean(values["mixse", "math", 0])
    )


def test_a_benchmark_that_was_not_run_has_a_row_without_numbers(fake_run, tmp_path):
    run = fake_run(tmp_path, domains=["coding", "math"])
    answered(run)
    facts = json.loads((run / "manifest.json").read_text())["cells"]["0"]
    (path,) = [
        run / cell["path"] / "coding.mini.json"
        for name, cell in facts.items()
        if name == "evaluate/mixse/coding/mini"
    ]
    score = json.loads(path.read_text())
    path.write_text(json.dumps({**score, "value": None, "not_run": "no sandbox"}))
    found = changes(Cells(run), Cells(run), "mixse", 0.9)
    assert set(found) == {"coding/mini", "math/mini"}
    assert found["coding/mini"] == Changes(score=None, lenient=None)
    assert found["math/mini"].score.difference == 0
