"""Every bad input ends in one clear error: what, where, what is allowed, what next."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

Cli = Callable[..., Result]


def assert_error(result: Result, *parts: str, code: int = 1) -> None:
    """Check that a command ended in one error that says all of ``parts``."""
    assert result.exit_code == code
    assert "Traceback" not in result.output
    _, error = re.split(r"^Error: ", result.stderr, flags=re.MULTILINE)
    assert "\n\n" not in error
    for part in parts:
        assert part in error, error


# --- what click rejects --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["rum"], ["No such command 'rum'"]),
        (["run", "--domain", "math"], ["No such option", "--domains"]),
        (["run", "--seed", "x"], ["'x' is not a valid integer"]),
        (["list-plugins", "--kind", "routers"], ["'routers' is not one of", "'router'"]),
        (["generate", "x"], ["Missing argument 'PROMPT'"]),
    ],
    ids=" ".join,
)
def test_unknown_commands_and_options(cli: Cli, arguments: list[str], parts: list[str]) -> None:
    assert_error(cli(*arguments), *parts, code=2)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "brainstrom.n=3"], ["brainstrom", "did you mean 'brainstorm'?", "Known keys"]),
        (["--set", "brainstorm.n=many"], ["brainstorm.n", "integer", "many"]),
        (["--set", "brainstorm.n"], ["brainstorm.n", "expected key=value"]),
        (["--domains", "maths"], ["'maths'", "did you mean 'math'?", "knowledge"]),
        (["--domains", ","], ["domains", "at least one"]),
        (["--track", "bench"], ["track", "'mini' or 'benchmark'", "bench"]),
        (["--track", "benchmark", "--domains", "coding"], ["coding", "'benchmark'", "mini"]),
        (["--preset", "big"], ["preset", "'demo' or 'paper'"]),
        (["--seeds", "4..0"], ["--seeds 4..0", "0..4"]),
        (["--seed", "1", "--seeds", "0..4"], ["--seed or --seeds"]),
        (["absent.yaml"], ["cannot read absent.yaml", "No such file"]),
    ],
    ids=" ".join,
)
def test_settings(cli: Cli, arguments: list[str], parts: list[str], tmp_path: Path) -> None:
    assert_error(cli("run", *arguments), *parts)
    assert not list(tmp_path.iterdir())


def test_broken_yaml_names_file_and_line(cli: Cli) -> None:
    Path("run.yaml").write_text("seeds:\n  n: 3\n  n: 4\n")
    assert_error(cli("run", "run.yaml"), "run.yaml", "line 3", "duplicate key 'n'")


def test_all_problems_of_a_file_are_said_at_once(cli: Cli) -> None:
    Path("run.yaml").write_text("seeds: {m: 3}\ntrack: x\n")
    assert_error(cli("run", "run.yaml"), "run.yaml: 2 problems", "seeds.m", "track")


# --- data ----------------------------------------------------------------------------------------

BENCHMARK = ("run", "--track", "benchmark", "--domains", "math", "--data-dir")


def test_a_missing_data_folder(cli: Cli) -> None:
    parts = ["absent/gsm8k/train.jsonl", "absent/train.jsonl", "--data-dir"]
    assert_error(cli(*BENCHMARK, "absent"), *parts)


def test_an_empty_data_folder(cli: Cli) -> None:
    Path("empty").mkdir()
    assert_error(
        cli(*BENCHMARK, "empty"), "no gsm8k data in ", "empty/gsm8k/train.jsonl", "upstream files"
    )


GOOD_LINE = json.dumps({"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"})


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("{'question': 1}", ["line 2", "not valid JSON"]),
        ('["a list"]', ["line 2", "JSON object"]),
        ('{"question": "Why?"}', ["item 2", "'answer' is missing", "question, answer"]),
        ('{"question": "Why?", "answer": "So."}', ["item 2", "'#### '"]),
        (None, ["train.jsonl holds no items", "download"]),
    ],
)
def test_malformed_data(cli: Cli, line: str | None, parts: list[str]) -> None:
    folder = Path("data/gsm8k")
    folder.mkdir(parents=True)
    text = "" if line is None else f"{GOOD_LINE}\n{line}\n"
    (folder / "train.jsonl").write_text(text)
    (folder / "test.jsonl").write_text(f"{GOOD_LINE}\n")
    result = cli(*BENCHMARK, "data", "--out", "run")
    assert_error(result, "data/gsm8k/train.jsonl", *parts)


# --- base ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "parts"),
    [
        ("nobody", ["'nobody' does not exist", "a hub id", "seedling"]),
        ("./absent", ["'./absent' does not exist", "a folder"]),
        ("nobody/nothing", ["'nobody/nothing'", "hub", "a folder", "seedling"]),
        ("a folder", ["a folder'", "holds no model", "config.json, *.safetensors"]),
        ("a file", ["a file'", "holds no model"]),
    ],
)
def test_a_base_that_is_none(cli: Cli, base: str, parts: list[str]) -> None:
    Path("a folder").mkdir()
    Path("a folder/config.json").write_text("{}")
    Path("a file").write_text("x")
    assert_error(cli("run", "--base", base, "--out", "run"), *parts)
    assert not Path("run").exists()


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_base(cli: Cli, file: str, tiny_base_folder: Path) -> None:
    base = Path("base")
    base.mkdir()
    for path in tiny_base_folder.iterdir():
        content = path.read_bytes()
        (base / path.name).write_bytes(
            content[: len(content) // 2] if path.name == file else content
        )
    result = cli("run", "--base", "base", "--domains", "math", "--out", "run")
    assert_error(result, f"base '{base.absolute()}': cannot load")


def test_a_base_that_reads_too_little(cli: Cli, small: Callable[..., Path]) -> None:
    path = small(brainstorm={"n": 4, "max_new_tokens": 2045})
    assert_error(
        cli("run", str(path)), "brainstorm kept 0", "anything", "brainstorm.max_new_tokens"
    )


def test_a_device_that_is_none(cli: Cli, small: Callable[..., Path]) -> None:
    result = cli("run", str(small()), "--set", "device=tpu9")
    assert_error(result, "device 'tpu9' cannot be used", "cpu")


# --- output --------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_output_path_that_is_a_file(cli: Cli, out: str) -> None:
    Path("file").write_text("precious")
    assert_error(cli("run", "--out", out), out, "a file", "--out")
    assert Path("file").read_text() == "precious"


def test_an_output_path_that_cannot_be_written(cli: Cli) -> None:
    assert_error(cli("run", "--out", "/proc/selfmoe"), "cannot write to /proc/selfmoe")


def test_a_full_disk(
    small: Callable[..., Path], tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    limited = (
        "import resource, signal, sys; from selfmoe.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "sys.argv[0] = 'selfmoe'; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "run", str(small())],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error: cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_locked_run_names_who_holds_it(
    cli: Cli, tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    holder = (
        "import sys; from pathlib import Path; from selfmoe.rundir import RunDirectory\n"
        "with RunDirectory(Path('run')).writing(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder],
        env=environment(),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        result = cli("run", "--out", "run")
        process.kill()
    assert_error(result, f"process {process.pid} on {socket.gethostname()}", "--out", "wait")
    assert (tmp_path / "run" / "run.lock").exists()
    from selfmoe.rundir import RunDirectory

    with RunDirectory(tmp_path / "run").writing():  # the lock of a killed process is no lock
        assert str(os.getpid()) in (tmp_path / "run" / "run.lock").read_text()


# --- what comes out of the model -----------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, tiny_base_folder: Path, plugin_code: str) -> Callable[..., Path]:
    """Write a run file for a random base, with some settings changed."""

    def write(**changes: Any) -> Path:
        settings: dict[str, Any] = {
            "base": str(tiny_base_folder),
            "out": str(tmp_path / "run"),
            "domains": ["anything"],
            "seeds": {"n": 4},
            "brainstorm": {"n": 4, "batch_size": 4, "max_new_tokens": 16, "shots": 1},
            "respond": {"shots": 1, "max_new_tokens": 8},
            "evaluate": {"limit": 2, "base_shots": 0},
            **changes,
        }
        (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
        return tmp_path / "run.yaml"

    return write


def test_nothing_left_after_curation(cli: Cli, small: Callable[..., Path]) -> None:
    result = cli("run", str(small(domains=["nothing"])))
    assert_error(
        result,
        "curate kept 0 of 4 examples of domain 'nothing'",
        "not good enough",
        "curate.min_examples is 1",
        "Raise brainstorm.n",
    )
    assert list(Path("run/respond").glob("nothing@*"))
    report = json.loads(Path("run/report/results.json").read_text())
    assert [s["name"] for s in report["systems"] if s["average"] is not None] == ["base"]


def test_garbage_is_no_instruction(cli: Cli, tiny_base_folder: Path) -> None:
    changes = ("seeds.n=4", "brainstorm.n=2", "brainstorm.max_new_tokens=4", "evaluate.limit=1")
    settings = [part for change in changes for part in ("--set", change)]
    result = cli("run", "--base", str(tiny_base_folder), "--domains", "math", *settings)
    assert_error(result, "brainstorm kept 0 of", "'math'", "unfinished", "another base")


# --- generate ------------------------------------------------------------------------------------


def test_generate_without_a_run(cli: Cli) -> None:
    Path("empty").mkdir()
    for path in ("absent", "empty"):
        result = cli("generate", path, "Hello.")
        assert_error(result, f"{path} is no finished run", "manifest.json", "selfmoe run --out")


@pytest.mark.parametrize("manifest", ["{", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_generate_with_a_damaged_manifest(cli: Cli, manifest: str) -> None:
    Path("run").mkdir()
    Path("run/manifest.json").write_text(manifest)
    Path("run/config.yaml").write_text("")
    assert_error(cli("generate", "run", "Hello."), "run/manifest.json")


def test_generate_with_an_unknown_system(cli: Cli) -> None:
    Path("run").mkdir()
    Path("run/config.yaml").write_text("")
    systems = {"base": "base", "mixse": "router"}
    manifest = {
        "format": 1,
        "systems": systems,
        "cells": {"0": {}},
        "base": {"hash": "x"},
        "config": {},
    }
    Path("run/manifest.json").write_text(json.dumps(manifest))
    result = cli("generate", "run", "Hello.", "--system", "mixe")
    assert_error(result, "no system named 'mixe'", "did you mean 'mixse'?", "base, mixse")
    assert_error(cli("generate", "run", "Hello."), "base 'seedling' is not the one", "not x")


def test_a_failure_is_said_when_it_happens(cli: Cli, small: Callable[..., Path]) -> None:
    result = cli("run", str(small(domains=["nothing"])))
    assert "curate nothing failed: curate kept 0 of 4 examples" in result.stderr
    assert_error(result, "Not done because of that: ", "cells")
