"""A run can be killed, changed, damaged and asked for again; only what is missing is done."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import selfmoe
from killing.files import differing, timeless
from selfmoe.api import run as api
from selfmoe.config.layers import assign
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import SelfmoeError, StageError
from selfmoe.pipeline.execute import execute
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.task import Job
from selfmoe.reporting.terminal.progress import Display

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run_file(
    tmp_path_factory: pytest.TempPathFactory, write_small_run: Callable[..., Path]
) -> Path:
    """Return a run file for a random base, beside the plugin with its domains."""
    return write_small_run(tmp_path_factory.mktemp("resume"))


class Runner:
    """Runs the run file in one directory; remembers what was said."""

    def __init__(self, run_file: Path, out: Path) -> None:
        self.run_file, self.out = run_file, out
        self.said = ""

    def __call__(self, *assignments: str) -> list[str]:
        """Run, with settings changed, and return the cells that were made."""
        from io import StringIO

        from rich.console import Console

        before = self.cells()
        stream = StringIO()
        api.run_plans(self.plans(*assignments), Display(Console(file=stream, width=500)))
        self.said = stream.getvalue()
        return sorted(self.cells() - before)

    def plans(self, *assignments: str) -> list[Any]:
        raw = api.from_yaml(self.run_file) | {"out": str(self.out)}
        for assignment in assignments:
            assign(raw, assignment)
        return make_plans(resolve(raw))

    def cells(self) -> set[str]:
        """Return ``<folder>/<label>@<key> <time>`` of every cell."""
        return {
            f"{path.parent.relative_to(self.out)} {path.stat().st_mtime_ns}"
            for path in self.out.glob("*/*@??????????/cell.json")
        }


@pytest.fixture(scope="module")
def finished(run_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run directory that is done."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("finished") / "run"
    Runner(run_file, out)()
    return out


@pytest.fixture
def runner(run_file: Path, finished: Path, tmp_path: Path) -> Runner:
    """Return a runner on a copy of the finished run."""
    shutil.copytree(finished, tmp_path / "run")
    return Runner(run_file, tmp_path / "run")


def contents(run: Path) -> dict[str, str]:
    """Return ``path -> sha256`` of all results: no seals (they hold times), no report."""
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.glob("*/*@*/**/*"))
        if path.is_file() and path.name != "cell.json" and "work" not in path.parts
    }


def labels(cells: list[str]) -> list[str]:
    return [cell.partition("@")[0] for cell in cells]


# --- the same again, something else, and back ----------------------------------------------------


def test_a_run_has_all_its_cells(finished: Path) -> None:
    folders = {path.parent.parent.name for path in finished.glob("*/*@*/cell.json")}
    assert folders == {
        *("seeds", "brainstorm", "respond", "data"),
        *("experts", "compositions", "evaluations"),
    }
    manifest = json.loads((finished / "manifest.json").read_text())
    paths = [cell["path"] for cell in manifest["cells"]["0"].values()]
    assert all((finished / path / "cell.json").is_file() for path in paths)
    assert not list(finished.rglob("*.tmp-*"))


def test_the_same_again_does_nothing(runner: Runner, cli: Callable[..., Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in runner.out.rglob("*.json*")}
    assert runner() == []
    after = {path: path.stat().st_mtime_ns for path in runner.out.rglob("*.json*")}
    del before[runner.out / "manifest.json"], after[runner.out / "manifest.json"]
    assert before == after
    result = cli("run", str(runner.run_file), "--out", str(runner.out))
    assert result.exit_code == 0
    assert "Nothing to do: all 22 cells are there." in result.stderr


def test_an_option_of_one_composer_redoes_that_composer(runner: Runner) -> None:
    made = runner("compose.mixse.options.k=2")
    # One cell a system and domain: mixse is composed once and asked for both domains.
    assert labels(made) == ["compositions/mixse", "evaluations/mixse", "evaluations/mixse"]
    report = json.loads((runner.out / "report" / "results.json").read_text())
    assert runner() == []
    back = json.loads((runner.out / "report" / "results.json").read_text())
    assert report["cells"] != back["cells"]
    assert runner("compose.mixse.options.k=2") == []


def test_a_setting_of_the_report_redoes_the_report(runner: Runner) -> None:
    assert runner("report.confidence=0.5") == []
    report = json.loads((runner.out / "report" / "results.json").read_text())
    assert report["confidence"] == 0.5


def test_a_dry_run_changes_nothing(runner: Runner, cli: Callable[..., Any]) -> None:
    before = sorted(runner.out.rglob("*"))
    arguments = ("run", str(runner.run_file), "--out", str(runner.out), "--dry-run")
    assert "22 of 22 cells are done, 0 to do" in cli(*arguments).stdout
    changed = cli(*arguments, "--set", "compose.mixse.options.k=2")
    assert "19 of 22 cells are done, 3 to do" in changed.stdout
    assert "by what such cells took on cpu, float32" in changed.stdout
    assert sorted(runner.out.rglob("*")) == before


# --- what an item becomes is its own --------------------------------------------------------------


@pytest.mark.parametrize(("size", "part"), [(1, 2), (3, 96), (64, 5)])
def test_data_do_not_depend_on_how_many_are_written_at_once(
    run_file: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int,
    part: int,
) -> None:  # fmt: skip
    monkeypatch.setattr("selfmoe.pipeline.writing.PART", part)
    runner = Runner(run_file, tmp_path / "run")
    runner(f"brainstorm.batch_size={size}", f"respond.batch_size={size}")
    assert contents(runner.out) == contents(finished)


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flip", "truncate", "delete", "seal"])
def test_damage_is_found_named_set_aside_and_mended(runner: Runner, how: str) -> None:
    intact = contents(runner.out)
    (cell,) = runner.out.glob("experts/anything@*")
    path = cell / ("cell.json" if how == "seal" else "adapter_model.safetensors")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "delete":
        path.unlink()
    elif how == "flip":
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2])
    made = runner()
    assert labels(made) == ["experts/anything"]
    assert f"Warning: {path}" in runner.said
    assert (cell.parent / f"{cell.name}.damaged-1").is_dir()
    shutil.rmtree(cell.parent / f"{cell.name}.damaged-1")
    assert contents(runner.out) == intact


def test_a_damaged_expert_is_not_loaded(runner: Runner) -> None:
    (path,) = runner.out.glob("experts/anything@*/adapter_model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for system in ("expert-anything", "mixse"):
        with pytest.raises(SelfmoeError, match="anything"):
            selfmoe.load(runner.out, system)


def test_leftovers_of_a_killed_writer_are_removed(runner: Runner) -> None:
    folder = runner.out / "experts" / ".anything@0123456789.tmp-99"
    folder.mkdir()
    (folder / ".cell.json.tmp-99").write_text("{")
    (runner.out / "work").mkdir(exist_ok=True)
    (runner.out / "work" / ".shard-00000.jsonl.tmp-99").write_text("{")
    assert runner() == []
    assert not list(runner.out.rglob("*.tmp-*"))


# --- which settings redo what: keys only, no model -----------------------------------------------

ALL = frozenset({"seeds", "brainstorm", "respond", "curate", "specialise", "compose", "evaluate"})
MODEL = ALL - {"seeds"}
TRAINED = frozenset({"specialise", "compose", "evaluate"})

REDONE: Mapping[str, frozenset[str]] = {
    "out=elsewhere": frozenset(),
    "device=cpu": frozenset(),
    "report.confidence=0.9": frozenset(),
    "seed=1": ALL,
    "dtype=bfloat16": MODEL,
    "seeds.n=7": ALL,
    **dict.fromkeys(
        ("brainstorm.n=9", "brainstorm.shots=3", "brainstorm.temperature=0.5",
         "brainstorm.top_p=0.5", "brainstorm.max_new_tokens=9", "brainstorm.max_tries=9"),
        MODEL,
    ),
    **dict.fromkeys(
        ("respond.shots=2", "respond.max_new_tokens=9", "respond.samples=1"),
        MODEL - {"brainstorm"},
    ),
    **dict.fromkeys(("brainstorm.batch_size=2", "respond.batch_size=2"), frozenset()),
    **dict.fromkeys(
        ("curate.near_duplicate=0.5", "curate.contamination=false", "curate.min_examples=2"),
        TRAINED | {"curate"},
    ),
    **dict.fromkeys(
        (f"specialise.options.{option}" for option in
         ("lr=0.5", "epochs=9", "batch_size=3", "micro_batch_size=1", "max_steps=4", "warmup=0.5",
          "schedule=cosine", "weight_decay=0.5", "clip=0.5", "gradient_checkpointing=true", "r=3",
          "alpha=3", "dropout=0.5", "rslora=true", "target_modules=[q_proj]")),
        TRAINED,
    ),
    **dict.fromkeys(
        ("compose.mixse.options.k=2", "compose.ties.options.density=0.9"),
        frozenset({"compose", "evaluate"}),
    ),
    **dict.fromkeys(
        ("evaluate.split=dev", "evaluate.limit=3", "evaluate.batch_size=2",
         "evaluate.template=plain", "evaluate.overflow=error", "evaluate.unsafe_code=true"),
        frozenset({"evaluate"}),
    ),
}  # fmt: skip


BASE_TOO = {
    *("dtype", "evaluate.split", "evaluate.limit", "evaluate.batch_size"),
    *("evaluate.template", "evaluate.overflow", "evaluate.unsafe_code"),
}
"""Settings that the base's own answers depend on, too."""

BASE_ANSWERS = {"evaluate base/anything/mini", "evaluate base/whatever/mini"}


def keys(plans: list[Any]) -> dict[str, str]:
    return {task.name: task.cell.key for plan in plans for task in plan.tasks}


@pytest.mark.parametrize("assignment", REDONE)
def test_a_setting_redoes_what_depends_on_it(
    assignment: str, run_file: Path, tmp_path: Path
) -> None:
    runner = Runner(run_file, tmp_path / "run")
    old, new = keys(runner.plans()), keys(runner.plans(assignment))
    assert old.keys() == new.keys()
    stages, reads_base = REDONE[assignment], BASE_TOO & {assignment.partition("=")[0]}
    expected = {name for name in old if name.split()[0] in stages}
    if stages and not reads_base:
        expected -= BASE_ANSWERS
    if "compose." in assignment:
        label = assignment.split(".")[1]
        expected = {name for name in expected if label in name}
    assert {name for name in old if old[name] != new[name]} == expected


def test_a_domain_more_leaves_the_others_alone(run_file: Path, tmp_path: Path) -> None:
    runner = Runner(run_file, tmp_path / "run")
    old = keys(runner.plans())
    new = keys(runner.plans("domains=[anything, whatever, math]"))
    changed = {name for name in old if old[name] != new[name]}
    assert {name.partition("/")[0] for name in changed} == {
        *("compose mixse", "compose ties", "evaluate mixse", "evaluate ties")
    }


def test_root_seeds_share_the_answers_of_the_base_only(run_file: Path, tmp_path: Path) -> None:
    one, two = (keys([plan]) for plan in Runner(run_file, tmp_path).plans("seed=[0, 1]"))
    shared = {name for name in one if one[name] == two[name]}
    assert shared == BASE_ANSWERS


def test_a_failure_stops_only_what_depends_on_it(run_file: Path, tmp_path: Path) -> None:
    plans = Runner(run_file, tmp_path / "run").plans("seed=[0, 1]")

    def fail(job: Job) -> None:
        raise StageError("nothing left")

    def write(job: Job) -> None:
        (job.out / "result.txt").write_text(job.task.name)

    for plan in plans:
        plan.tasks = [
            replace(task, run=fail if (plan.root, task.name) == (0, "curate anything") else write)
            for task in plan.tasks
        ]
    outcome = execute(plans, Display())
    assert [(task.root, task.name) for task, _ in outcome.failed] == [(0, "curate anything")]
    assert {(task.root, task.name.partition("/")[0]) for task in outcome.skipped} == {
        (0, name)
        for name in ("specialise anything", "compose mixse", "compose ties", "evaluate mixse",
                     "evaluate ties", "evaluate expert-anything")
    }  # fmt: skip
    with pytest.raises(StageError, match=r"nothing left\n.*Not done because of that: 9 cells"):
        outcome.raise_failures()
    assert len(list((tmp_path / "run").glob("*/*@*/cell.json"))) == len(outcome.built)


# --- SIGKILL and other processes -----------------------------------------------------------------

DRIVER = """
import json, os, sys, time
from pathlib import Path
import datasets, lm_eval, peft, torch, transformers
from lm_eval.models.huggingface import HFLM
import selfmoe.evaluation.harness, selfmoe.models.fitting.loop
import selfmoe.models.generation, selfmoe.mixture.compose
import selfmoe.kits.routers.softmax_gate, selfmoe.kits.trainers.lora
from killing.rounds import kill_and_resume
from selfmoe.api import run as api

torch.set_num_threads(1)
run_file, folder, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

class Child:
    # A fork of this process, in which everything is imported already.
    def __init__(self, out):
        self.pid, self.code = os.fork(), None
        if self.pid == 0:
            self.run(out)

    def run(self, out):
        os.setsid()
        status = 1
        try:
            raw = api.from_yaml(run_file) | {"out": str(out)}
            api.run(api.complete(api.RunConfig.model_validate(raw)))
            status = 0
        finally:
            os._exit(status)

    def poll(self):
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code

    def wait(self):
        while self.poll() is None:
            time.sleep(0.005)

rounds = kill_and_resume(Child, folder, kills, int(sys.argv[4]))
stages = [fall.stage for fall in rounds.falls]
print(json.dumps({"runs": [str(run) for run in rounds.killed], "stages": stages}))
"""


def drive(
    environment: dict[str, str], run_file: Path, folder: Path, kills: int
) -> dict[str, list[Any]]:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(run_file), str(folder), str(kills), "7"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_killed_at_random_moments_it_ends_with_the_same_files(
    run_file: Path, finished: Path, tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    result = drive(environment(BENCHMARKS, PYTHONHASHSEED="0"), run_file, tmp_path, kills=10)
    whole = timeless(tmp_path / "undisturbed")
    assert len(result["stages"]) == 10
    assert len(set(result["stages"])) >= 4, "the kills did not spread over the stages"
    for run in result["runs"]:
        assert differing(timeless(Path(run)), whole) == []
        assert not list(Path(run).rglob("*.tmp-*"))
    # Another process with another PYTHONHASHSEED (this one) wrote the same files.
    assert contents(finished) == contents(tmp_path / "undisturbed")
    assert os.environ.get("PYTHONHASHSEED") != "0"
