"""The script on a small run made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from label_noise import command

BOXES = "There are {} boxes with {} pens in each. How many pens are there?"
SEED = {"id": "s", "instruction": "Give the result.", "input": BOXES.format(9, 9), "response": "81"}
ASKED = [  # input, response, problem
    (BOXES.format(2, 3), "2 * 3 = 6. So the answer is 6.", None),
    (BOXES.format(2, 4), "8", None),
    (BOXES.format(2, 5), "2 * 5 = 11. So the answer is 11.", None),
    (BOXES.format(2, 6), "2 * 6 = 12. So the answer is 12.", "unfinished response"),
    ("There are 2 boxes. How many dreams are there?", "So the answer is 2.", None),
    (BOXES.format(9, 9).upper(), "So the answer is 81.", None),
]
DROPPED = {"copy of a seed": 1, "duplicate": 2, "malformed": 1}


def write(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def make_run(root: Path, *, finished: bool, track: str = "mini") -> Path:
    """Write a run with one domain that is curated and one that is not."""
    tasks = [
        {"id": f"math-{i}", "instruction": "", "input": text, "response": response, "problem": why}
        for i, (text, response, why) in enumerate(ASKED)
    ]
    write(root / "seeds/math@1/seeds.jsonl", [SEED])
    write(root / "brainstorm/math@2/instructions.jsonl", tasks)
    write(root / "brainstorm/math@2/yield.json", [{"written": 10, "kept": 6, "dropped": DROPPED}])
    write(root / "respond/math@3/responses.jsonl", tasks)
    write(root / "data/math@4/examples.jsonl", [tasks[i] for i in (0, 2, 4, 5)])
    reasons = {"unfinished response": 1, "near duplicate": 1}
    write(root / "data/math@4/yield.json", [{"dropped": {"curate": reasons}}])
    write(root / "seeds/coding@5/seeds.jsonl", [])
    paths = {"seeds": "seeds/math@1", "brainstorm": "brainstorm/math@2"}
    paths |= {"respond": "respond/math@3", "curate": "data/math@4"}
    cells = [(stage, "math", path) for stage, path in paths.items()]
    cells += [("seeds", "coding", "seeds/coding@5"), ("respond", "coding", "respond/coding@6")]
    stages = {stage: {"n": 1} for stage in paths}
    config = {"base": str(root / "some-base"), "preset": "demo", "track": track, **stages}
    (root / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    if finished:
        named = {
            f"{stage}/{label}": {"key": path[-1], "path": path} for stage, label, path in cells
        }
        manifest = {
            "format": 1,
            "base": {"name": "some-base", "hash": "x"},
            "systems": {},
            "config": config,
        }
        write(root / "manifest.json", [{**manifest, "cells": {"3": named}}])
    else:
        facts = [
            {"seed": 3, "stage": stage, "label": label, "key": path[-1], "path": path, "size": ""}
            for stage, label, path in cells
        ]
        write(root / "work/plan.json", [{"format": 1, "cells": facts}])
    return root


@pytest.mark.parametrize("finished", [True, False])
def test_shares_of_a_known_run(tmp_path, finished):
    run, target = make_run(tmp_path / "run", finished=finished), tmp_path / "noise.json"
    result = CliRunner().invoke(command, [str(run), "--json", str(target)])
    assert result.exit_code == 0, result.output
    found = json.loads(target.read_text("utf-8"))
    [row] = found["rows"]
    assert (row["seed"], row["domain"], row["written"]) == (3, "math", 10)
    shares = {name: (row[name]["count"], row[name]["of"]) for name in ("parsed", "new", "distinct")}
    assert shares == {"parsed": (9, 10), "new": (7, 10), "distinct": (5, 10)}
    counts = {
        when: [row[when][name]["count"] for name in ("understood", "right", "right_strict")]
        for when in ("before", "after")
    }
    assert counts == {"before": [4, 2, 1], "after": [2, 1, 1]}
    assert row["before"]["right"]["share"] == 2 / 4
    assert 0.09 < row["before"]["right"]["low"] < 2 / 4 < row["before"]["right"]["high"] < 0.91
    assert (row["lost_right"], row["lost_wrong"]) == (1, 1)
    assert row["dropped"]["brainstorm"] == DROPPED
    assert found["not_read"] == ["coding"]
    assert found["run"]["base"] == "some-base"
    assert found["command"] == "python benchmarks/label_noise.py run --json noise.json"
    assert str(tmp_path) not in target.read_text("utf-8")
    assert "math" in result.output


def test_a_run_of_another_track_is_refused(tmp_path):
    run = make_run(tmp_path / "run", finished=True, track="benchmark")
    result = CliRunner().invoke(command, [str(run)])
    assert result.exit_code == 1
    assert "track 'benchmark'" in result.output


def test_what_is_no_run_or_not_curated_is_said(tmp_path):
    nothing = CliRunner().invoke(command, [str(tmp_path)])
    assert "holds no run" in nothing.output
    run = make_run(tmp_path / "run", finished=False)
    (run / "work/plan.json").write_text('{"format": 1, "cells": []}', "utf-8")
    early = CliRunner().invoke(command, [str(run)])
    assert early.exit_code == 1
    assert "no curated data" in early.output
