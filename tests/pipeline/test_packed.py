"""A run that trains its experts in one pass: cells as ever, what is there is not made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from selfmoe.api import run as api
from selfmoe.config.layers import assign
from selfmoe.config.resolve import resolve
from selfmoe.models.fitting.packed import Pass
from selfmoe.pipeline.make import make_plans
from selfmoe.reporting.terminal.progress import Display

CHANGES: Mapping[str, Any] = {
    "specialise": {"packed": True, "options": {"max_steps": 3, "batch_size": 2, "r": 2}},
    "compose": {"ties": {"merge": "ties"}},
    "evaluate": {"limit": 2, "batch_size": 4, "base_shots": 0},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_small_run: Callable[..., Path]) -> Path:
    """Return a folder with a run file, and the plugin with its domains."""
    return write_small_run(tmp_path_factory.mktemp("packed"), CHANGES).parent


def run(folder: Path, out: str, *assignments: str) -> str:
    """Run in a folder below and return what was said."""
    raw = api.from_yaml(folder / "run.yaml") | {"out": str(folder / out)}
    for assignment in assignments:
        assign(raw, assignment)
    stream = StringIO()
    _, outcome = api.run_plans(make_plans(resolve(raw)), Display(Console(file=stream, width=500)))
    outcome.raise_failures()
    return stream.getvalue()


def told(folder: Path, out: str, name: str) -> dict[str, Any]:
    """Return what an expert's cell says of its training, and the cell's key."""
    (path,) = (folder / out / "experts").glob(f"{name}@*")
    facts: dict[str, Any] = json.loads((path / "training.json").read_text())
    return {**facts, "key": path.name.partition("@")[2]}


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """Return the folder with a finished run ``packed`` and its like ``apart``."""
    said = run(folder, "packed")
    assert "specialise anything (1 expert, in one pass with whatever) done" in said
    assert "specialise whatever (1 expert, in one pass with anything) done" in said
    run(folder, "apart", "specialise.packed=false")
    return folder


def test_cells_are_those_of_experts_trained_apart(finished: Path) -> None:
    for name, other in (("anything", "whatever"), ("whatever", "anything")):
        packed, apart = told(finished, "packed", name), told(finished, "apart", name)
        assert packed.pop("packed_with") == [other]
        assert packed.pop("losses") == pytest.approx(apart.pop("losses"), abs=1e-5)
        assert packed == apart
    files = [{p.name for p in (finished / out).glob("experts/*/*")} for out in ("packed", "apart")]
    assert files[0] == files[1]
    assert not list((finished / "packed" / "work").rglob("*trained*"))


def test_what_is_there_is_trained_no_second_time(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Pass, "run", never)
    for out in ("packed", "apart"):
        for packed in ("true", "false"):
            assert "specialise" not in run(finished, out, f"specialise.packed={packed}")


def test_a_single_expert_that_is_missing_is_trained_by_itself(finished: Path) -> None:
    options = 'specialise.experts={"whatever": {"lr": 0.01}}'
    said = run(finished, "apart", options)
    assert "whatever (1 expert, by itself: there is no other to train with it)" in said
    assert "specialise anything" not in said


def test_what_was_left_by_a_pass_is_taken_after_a_kill(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfmoe.pipeline.stages import s5_specialise as stage

    plain = stage.read_examples

    def killed(path: Path) -> Any:
        if "whatever" in path.name and list((finished / "killed/experts").glob("anything@*")):
            raise KeyboardInterrupt
        return plain(path)

    monkeypatch.setattr(stage, "read_examples", killed)
    with pytest.raises(KeyboardInterrupt):
        run(finished, "killed")
    monkeypatch.undo()
    monkeypatch.setattr(Pass, "run", None)
    assert "whatever (1 expert, in one pass with anything) done" in run(finished, "killed")
    assert told(finished, "killed", "whatever") == told(finished, "packed", "whatever")


def test_who_cannot_be_packed_is_trained_by_itself(finished: Path) -> None:
    wild = 'specialise.experts={"anything": {"dropout": 0.5}, "whatever": {"dropout": 0.5}}'
    said = run(finished, "dropout", wild)
    assert said.count("by itself: its dropout would leave out other things") == 2


def test_an_expert_that_fails_does_so_by_itself(finished: Path) -> None:
    from selfmoe.contracts.errors import StageError

    wild = 'specialise.experts={"anything": {"lr": 1e30}}'
    with pytest.raises(StageError, match=r"specialise anything: .* Lower lr"):
        run(finished, "fails", wild)
    assert told(finished, "fails", "whatever")["packed_with"] == ["anything"]
    assert not list((finished / "fails" / "experts").glob("anything@*"))


def test_workers_cannot_share_a_pass(folder: Path) -> None:
    from selfmoe.contracts.errors import ConfigError

    with pytest.raises(ConfigError, match="executor 'local' hands them to several"):
        run(folder, "workers", "execute={executor: local, options: {workers: 2}}")
