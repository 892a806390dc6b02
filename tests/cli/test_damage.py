"""What was changed in a finished run is never shown as if it had been measured."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from selfmoe.reporting.report import write_report
from selfmoe.store import files

CHANGED = {
    "another score": ("evaluations/mixse@*/*.mini.json", '"n": 2', '"n": 3'),
    "another type": ("evaluations/mixse@*/*.mini.json", '"n": 2', '"n":""'),
    "an empty object": ("evaluations/base@*/*.mini.json", r"(?s).*", "{}"),
    "an answer": ("evaluations/base@*/*.samples.jsonl", r'"score": 0', '"score": 1'),
    "a trace": ("evaluations/mixse@*/*.traces.jsonl", r'"tokens"', '"Tokens"'),
    "a yield": ("data/*/yield.json", r'"kept"', '"Kept"'),
    "a seal": ("experts/*/cell.json", r"(?s).*", "{}"),
    "the time in a seal": ("experts/*/cell.json", r'"seconds": [\d.]+', '"seconds": "x"'),
    "an adapter's size": ("experts/*/adapter_model.safetensors", r"(?s).*", ""),
}


def edit(run: Path, pattern: str, old: str, new: str) -> None:
    (path, *_) = sorted(run.glob(pattern))
    before = path.read_bytes().decode("latin-1")
    after = re.sub(old, new, before, count=1)
    assert after != before
    path.write_bytes(after.encode("latin-1"))


def settings_gone(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "config": {}}))


def delete_score(run: Path) -> None:
    next(run.glob("evaluations/ties@*/*.mini.json")).unlink()


def delete_cell(run: Path) -> None:
    shutil.rmtree(next(run.glob("evaluations/ties@*")))


BREAK: dict[str, Callable[[Path], None]] = {
    "a score gone": delete_score,
    "a cell gone": delete_cell,
    **{what: lambda run, how=how: edit(run, *how) for what, how in CHANGED.items()},
}


@pytest.mark.parametrize("what", BREAK)
def test_a_report_of_changed_cells_is_refused(cli, finished, what):
    assert cli("report", "runs/demo", "--no-figures").exit_code == 0
    BREAK[what](finished)
    shown = cli("report", "runs/demo", "--no-figures")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("Error: cell damaged: runs/demo/")
    assert shown.stderr.endswith("This makes it again: selfmoe run runs/demo/config.yaml\n")


def test_a_report_of_damaged_settings_is_refused(cli, finished):
    settings_gone(finished)
    shown = cli("report", "runs/demo", "--no-figures")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("Error: runs/demo/manifest.json is damaged: its settings are")


def test_a_report_reads_no_adapters(finished, monkeypatch):
    read = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.suffix) or real(path))
    write_report(finished)
    assert set(read) == {".json", ".jsonl"}
    seals = [json.loads(path.read_text())["files"] for path in finished.glob("*/*/cell.json")]
    assert any(name.endswith(".safetensors") for seal in seals for name in seal)
