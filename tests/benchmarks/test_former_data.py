"""A former build's data in this build's run: planted, gone on with, and compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import selfmoe
from _generate import former_data as page
from former_data import KNOWN, averages, compared, plant, reduce
from selfmoe.store.files import is_intact, read_jsonl

Json = dict[str, Any]


def changed(file: Path, change: Callable[[Json], None]) -> None:
    value = json.loads(file.read_text("utf-8"))
    change(value)
    file.write_text(json.dumps(value), "utf-8")


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, write_small_run: Callable[..., Path]
) -> Path:
    """Return a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    return selfmoe.run(write_small_run(folder, {"out": str(folder / "run")})).path


@pytest.fixture
def former(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished run, as the former build's."""
    return Path(shutil.copytree(finished, tmp_path / "former"))


def test_a_planted_cell_is_intact_and_holds_the_other_data(
    finished: Path, former: Path, tmp_path: Path
) -> None:
    (file,) = former.glob("data/anything@*/examples.jsonl")
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), "utf-8")
    plant(former, finished, tmp_path / "planted")
    (cell,) = (tmp_path / "planted").glob("data/anything@*")
    assert is_intact(cell)
    assert (cell / "examples.jsonl").read_text("utf-8") == "".join(lines[:-1])


def test_a_run_is_like_itself(finished: Path) -> None:
    found = compared(finished, finished)
    assert found["losses_apart"] == 0
    assert found["texts"]["same"] == found["texts"]["of"] > 0
    assert found["scores"]["same"] == found["scores"]["of"] > 0


def test_another_answer_score_and_loss_are_seen(finished: Path, former: Path) -> None:
    file = next(former.glob("evaluations/*@*/*.samples.jsonl"))
    first, *others = file.read_text("utf-8").splitlines()
    row = json.loads(first)
    row |= {"completion": row["completion"] + "!", "score": row["score"] + 1}
    file.write_text("\n".join([json.dumps(row), *others]), "utf-8")
    (losses,) = former.glob("experts/anything@*/training.json")
    changed(losses, lambda told: told["losses"].__setitem__(0, told["losses"][0] + 0.25))
    found = compared(former, finished)
    assert found["losses_apart"] == pytest.approx(0.25)
    for kind in ("texts", "scores"):
        assert found[kind]["same"] == found[kind]["of"] - 1


def test_evaluations_that_only_one_run_has_are_refused(finished: Path, former: Path) -> None:
    next(former.glob("evaluations/*@*/*.samples.jsonl")).unlink()
    with pytest.raises(RuntimeError, match="evaluations differ"):
        compared(former, finished)


def test_cells_of_earlier_settings_are_refused(finished: Path, former: Path) -> None:
    cell = next(former.glob("evaluations/*@*"))
    shutil.copytree(cell, cell.with_name(f"{cell.name.partition('@')[0]}@0123456789"))
    with pytest.raises(RuntimeError, match="begin in an empty folder"):
        compared(former, finished)


def test_experts_learn_from_no_more_than_the_former_build_had(
    finished: Path, tmp_path: Path
) -> None:
    reduce(finished, tmp_path / "reduced")
    (cell,) = (tmp_path / "reduced").glob("data/anything@*")
    (whole,) = finished.glob("data/anything@*/examples.jsonl")
    rows, before = read_jsonl(cell / "examples.jsonl"), read_jsonl(whole)
    assert is_intact(cell)
    assert "tokens" in before[0]
    assert [set(row) for row in rows] == [set(KNOWN)] * len(before)
    assert [row["response"] for row in rows] == [row["response"] for row in before]


def test_what_is_begun_is_left_alone(finished: Path, tmp_path: Path) -> None:
    reduce(finished, tmp_path / "reduced")
    (file,) = (tmp_path / "reduced").glob("data/anything@*/examples.jsonl")
    file.unlink()
    reduce(finished, tmp_path / "reduced")
    assert not file.exists()


def test_averages_are_within_the_former_interval_or_not(finished: Path, former: Path) -> None:
    runs = {"former": [former, finished], "own": [finished, finished]}
    assert all(row["within"] == {"own": 2} for row in averages(runs))
    changed(
        former / "report" / "results.json",
        lambda told: told["systems"][0].update(average_low=0.99, average_high=1.0, average=0.995),
    )
    rows = list(averages(runs))
    assert [row["within"]["own"] for row in rows] == [1, *[2] * (len(rows) - 1)]
    assert rows[0]["former"][0] == 99.5


def test_the_page_has_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "former-data.json"
    assert page.section(file) == ""
    row = {
        "system": "base", "former": [45.0, 46.0], "reduced": [45.5, 45.0], "own": [50.0, 45.0],
        "low": [41.0, 42.0], "high": [49.0, 50.0], "within": {"reduced": 2, "own": 1},
    }  # fmt: skip
    found = {
        "command": "c", "commit": "98d3e45", "preset": "demo", "settings": ["a=1"],
        "losses_apart": 1e-6, "texts": {"same": 9, "of": 10}, "scores": {"same": 4, "of": 4},
        "seeds": [0, 1], "averages": [row],
    }  # fmt: skip
    file.write_text(json.dumps(found), "utf-8")
    said = page.section(file)
    assert "| base | 45.0, 46.0 | 45.5, 45.0 | 2 of 2 | 50.0, 45.0 | 1 of 2 |" in said
    assert "10 answers 9 are the same" in said
