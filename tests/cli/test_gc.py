"""``selfmoe gc``: only what nothing names any more goes."""

from __future__ import annotations

from pathlib import Path

import pytest

import selfmoe
from selfmoe.store.directory import RunDirectory
from selfmoe.store.garbage import delete, find_garbage


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def cells(run: Path) -> set[str]:
    return {path.parent.relative_to(run).as_posix() for path in run.glob("*/*/cell.json")}


def test_settings_used_one_after_another_leave_only_the_last(cli, finished, configure, tmp_path):
    run = tmp_path / "runs" / "demo"
    merges = {
        "mixse": {"router": "topk", "options": {"max_steps": 1}},
        "dare": {"merge": "dare"},
    }
    settings = ({}, {"respond": {"shots": 1, "max_new_tokens": 4}}, {"compose": merges})
    named = []
    for changes in settings:
        selfmoe.run(configure(**changes))
        named.append({cell.path for _, cell in RunDirectory(run).manifest().all_cells()})
    assert cells(run) == named[0] | named[1] | named[2]
    assert named[0] - named[2]
    before = tree(run)
    shown = cli("gc", "runs/demo", "--dry-run").stdout
    assert tree(run) == before
    assert {line.split()[-1] for line in shown.splitlines()[:-1]} == cells(run) - named[2]
    done = cli("gc", "runs/demo", "--yes")
    assert done.stdout == shown + "Deleted.\n"
    assert cells(run) == named[2]
    assert cli("gc", "runs/demo", "--yes").stdout == "Nothing to delete.\n"
    assert selfmoe.run(configure(compose=merges)).built == 0
    assert selfmoe.run(configure()).built > 0


def test_nothing_goes_without_a_yes(finished, monkeypatch, tmp_path):
    from click.testing import CliRunner

    from selfmoe.cli.app import cli as group

    monkeypatch.chdir(tmp_path)
    old = finished / "experts" / "old@0123456789"
    old.mkdir()
    for answer, exists in (("n\n", True), ("", True), ("y\n", False)):
        result = CliRunner().invoke(group, ["gc", "runs/demo"], input=answer)
        assert old.exists() is exists, result.output
        assert result.exit_code == (1 if answer == "" else 0)
        assert ("--yes deletes without asking" in result.stderr) is (answer == "")


def test_left_over_work_goes_and_work_under_way_stays(finished):
    run = RunDirectory(finished)
    first, second = [cell.path for cell in run.plan() if cell.stage == "compose"]
    (finished / first / "cell.json").unlink()  # no longer done
    kept, done, old = (finished / "work" / name for name in (first, second, "data/a@0123456789"))
    for path in (kept, done, old):
        path.mkdir(parents=True)
    aside = finished / "data" / "a@0123456789.damaged-1"
    aside.mkdir()
    garbage = {item.path: item.why for item in find_garbage(run)}
    assert garbage == {
        aside: "damaged copy",
        done: "left-over work",
        old: "left-over work",
    }


def test_what_only_the_last_command_names_stays(finished):
    run = RunDirectory(finished)
    empty = {"cells": {"0": {}}}  # as if that command had not come to its end
    run.write_manifest(run.manifest().model_copy(update=empty))
    assert find_garbage(run) == []
    (finished / "work" / "plan.json").unlink()
    assert {item.path.relative_to(finished).as_posix() for item in find_garbage(run)} == cells(
        finished
    )


@pytest.mark.parametrize("text", ['[{"stage": 1', "[{}]", "{}x", "7", b"\xff"])
def test_nothing_goes_while_it_is_unknown_what_the_last_command_needs(cli, finished, text):
    plan = finished / "work" / "plan.json"
    old = finished / "experts" / "old@0123456789"
    old.mkdir()
    plan.write_bytes(text if isinstance(text, bytes) else text.encode())
    for option in ("--dry-run", "--yes"):
        done = cli("gc", "runs/demo", option)
        assert done.exit_code == 1
        assert "work/plan.json cannot be read" in done.stderr
        assert "Run that command again" in done.stderr
    assert old.exists()
    assert "11 of 11 cells are done" in cli("status", "runs/demo").stdout


def test_nothing_but_cells_is_touched(cli, finished, tmp_path):
    outside = tmp_path / "outside"
    (outside / "a@0123456789").mkdir(parents=True)
    (outside / "a@0123456789" / "precious").write_text("x")
    strangers = [
        finished / "notes@0123456789",
        finished / "experts" / "mine",
        finished / "experts" / "a@xyz",
        finished / "report" / "a@0123456789",
        finished / "mine" / "a@0123456789",
    ]
    for path in strangers:
        path.mkdir(parents=True)
    (finished / "experts" / "file@0123456789").write_text("x")
    (finished / "experts" / "link@0123456789").symlink_to(outside / "a@0123456789")
    (finished / "respond").rename(tmp_path / "elsewhere")
    (finished / "respond").symlink_to(outside)
    old = finished / "data" / "old@0123456789"
    old.mkdir()
    (old / "link").symlink_to(outside)
    before = tree(tmp_path) | tree(outside)
    assert cli("gc", "runs/demo", "--yes").exit_code == 0
    gone = before - (tree(tmp_path) | tree(outside))
    assert gone == {"runs/demo/data/old@0123456789", "runs/demo/data/old@0123456789/link"}
    assert (outside / "a@0123456789" / "precious").read_text() == "x"


def test_a_kill_while_deleting_leaves_nothing_that_looks_like_a_cell(finished, monkeypatch):
    old = finished / "experts" / "old@0123456789"
    old.mkdir()
    run = RunDirectory(finished)
    (item,) = find_garbage(run)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            delete(item)
    assert not old.exists()
    assert [path.name for path in finished.glob("experts/.*")]
    with run.writing():
        assert not list(finished.glob("experts/.*"))
