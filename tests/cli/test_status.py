"""``selfmoe status``: how far a run is, from its directory alone."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import selfmoe
from selfmoe.contracts.errors import RunError, SelfmoeError
from selfmoe.store.directory import RunDirectory
from selfmoe.store.status import bytes_text, cell_states, size_of

HOLDER = """
import sys
from pathlib import Path
from selfmoe.store.directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(finished, environment):
    """Let another process hold the lock of the finished run; yields its process id."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(finished)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process.pid
        process.kill()


def status(cli) -> dict:
    result = cli("status", "runs/demo", "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def counts(answer: dict) -> dict[str, int]:
    return dict(Counter(cell["state"] for cell in answer["cells"]))


def test_a_finished_run(cli, finished):
    answer = status(cli)
    assert counts(answer) == {"done": 11}
    assert answer["writing"] is None
    assert answer["bytes"] == sum(p.lstat().st_size for p in finished.rglob("*") if p.is_file())
    text = cli("status", "runs/demo").stdout
    assert "11 of 11 cells are done; " in text
    assert "Nobody is writing." in text


def test_a_run_that_kept_no_plan_is_told_from_its_manifest(cli, finished):
    before = status(cli)
    (finished / "work" / "plan.json").unlink()
    after = status(cli)
    assert sorted(c["path"] for c in after["cells"]) == sorted(c["path"] for c in before["cells"])
    assert counts(after) == {"done": 11}


def test_what_is_missing_or_damaged_is_said(cli, finished):
    (finished / next(finished.glob("experts/*/training.json"))).write_text("")
    shutil.rmtree(next(finished.glob("compositions/mixse@*")))
    answer = status(cli)
    assert counts(answer) == {"done": 9, "damaged": 1, "to do": 1}
    (damaged,) = [cell for cell in answer["cells"] if cell["state"] == "damaged"]
    assert (damaged["stage"], damaged["label"]) == ("specialise", "anything")
    assert damaged["detail"].endswith("training.json has 0 bytes instead of " + size_said(damaged))
    text = cli("status", "runs/demo").stdout
    assert "damaged: specialise anything: " in text
    assert "To go on: selfmoe run runs/demo/config.yaml" in text


def test_a_run_goes_on_from_any_folder(cli, finished, configure, tmp_path, monkeypatch):
    name = "runs/my demo"
    finished.rename(tmp_path / name)
    selfmoe.run(configure(out=name))
    shutil.rmtree(next((tmp_path / name).glob("compositions/mixse@*")))
    (line,) = [x for x in cli("status", name).stdout.splitlines() if "To go on: " in x]
    command = shlex.split(line.partition("To go on: ")[2])
    assert command == ["selfmoe", "run", f"{name}/config.yaml"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = cli("run", f"../{name}/config.yaml")
    assert done.exit_code == 0, done.stderr
    assert "11 of 11 cells are done" in cli("status", f"../{name}").stdout
    assert not list(Path().iterdir())


def test_a_run_that_was_moved_goes_on_where_it_is(cli, finished, configure, tmp_path):
    selfmoe.run(configure())
    (tmp_path / "runs" / "demo").rename(tmp_path / "runs" / "other")
    shutil.rmtree(next((tmp_path / "runs" / "other").glob("compositions/ties@*")))
    done = cli("run", "runs/other/config.yaml")
    assert done.exit_code == 0, done.stderr
    assert not (tmp_path / "runs" / "demo").exists()
    assert "11 of 11 cells are done" in cli("status", "runs/other").stdout


def test_an_unfinished_run_in_a_folder_with_a_blank_is_named_for_the_shell(tmp_path):
    run = tmp_path / "my run"
    run.mkdir()
    for hint in (f"selfmoe run --out '{run}'", f"selfmoe run '{run}/config.yaml'"):
        with pytest.raises(RunError) as caught:
            RunDirectory(run).manifest()
        assert str(caught.value).endswith(hint)
        (run / "config.yaml").write_text("{}")


def size_said(cell: dict) -> str:
    seal = json.loads(Path("runs/demo", cell["path"], "cell.json").read_text())
    return str(seal["files"]["training.json"]["size"])


def test_verify_reads_what_the_sizes_do_not_show(cli, finished):
    path = next(finished.glob("experts/*/training.json"))
    path.write_text("x" * path.stat().st_size)
    assert counts(status(cli)) == {"done": 11}
    result = cli("status", "runs/demo", "--verify", "--json")
    assert counts(json.loads(result.stdout)) == {"done": 10, "damaged": 1}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "cells": 3}'])
def test_a_damaged_manifest_is_said_to_be_one(cli, finished, text):
    assert status(cli)["manifest"] is None
    (finished / "manifest.json").write_text(text)
    assert status(cli)["manifest"].startswith("runs/demo/manifest.json is damaged: ")
    shown = cli("status", "runs/demo", "--verify").stdout
    assert "damaged: runs/demo/manifest.json is damaged: " in shown
    assert "To go on: selfmoe run runs/demo/config.yaml" in shown


def test_who_writes_is_named(cli, held):
    assert status(cli)["writing"].startswith(f"process {held} on ")
    assert f"Being written by process {held} on " in cli("status", "runs/demo").stdout


def test_asking_does_not_keep_a_writer_out(finished):
    run = RunDirectory(finished)
    assert run.holder() is None
    with run.writing():
        assert run.holder() is not None
    assert run.holder() is None


def test_a_failure_is_told_with_its_reason_until_it_is_mended(cli, configure):
    path = configure(domains=["nothing"])
    with pytest.raises(SelfmoeError, match="curate kept 0"):
        selfmoe.run(path)
    answer = status(cli)
    (failed,) = [cell for cell in answer["cells"] if cell["state"] == "failed"]
    assert (failed["stage"], failed["label"]) == ("curate", "nothing")
    assert failed["detail"].startswith("curate kept 0 of 4 examples of domain 'nothing'")
    assert "failed: curate nothing: curate kept 0" in cli("status", "runs/demo").stdout
    selfmoe.run(configure())
    assert counts(status(cli)) == {"done": 11}


def test_unfinished_cells_tell_how_far_they_are(finished):
    run = RunDirectory(finished)
    by_stage = {cell.stage: cell for cell in run.plan()}
    for stage, file in (("brainstorm", "shard-00000.jsonl"), ("evaluate", "x/shard-00000.jsonl")):
        shutil.rmtree(finished / by_stage[stage].path)
        path = finished / "work" / by_stage[stage].path / file
        path.parent.mkdir(parents=True)
        path.write_text('{"a": 1}\n{"a": 2}\n')
    shutil.rmtree(finished / by_stage["specialise"].path)
    (finished / "work" / by_stage["specialise"].path / "step-0000012").mkdir(parents=True)
    details = {cell.stage: cell.detail for cell in cell_states(run) if cell.state == "to do"}
    assert details == {
        "brainstorm": "2 rows written for 4 instructions",
        "specialise": "trained to step 12",
        "evaluate": "2 rows written for up to 2 items",
    }


def test_sizes_are_said_as_people_say_them(tmp_path):
    assert [bytes_text(n) for n in (0, 999, 1000, 35_800_000, 2.5e12)] == [
        "0 B", "999 B", "1.0 kB", "35.8 MB", "2.5 TB",
    ]  # fmt: skip
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("/usr")
    assert size_of(tmp_path) == 10
