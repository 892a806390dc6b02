"""What a worker does with an order: the same as the run's own process would, or nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from selfmoe.api import run as api
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError, SelfmoeError, StageError
from selfmoe.contracts.executor import Ended, Unit, Workers
from selfmoe.evaluation import bridge
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.versions import versions
from selfmoe.pipeline.workers.crew import Crew
from selfmoe.pipeline.workers.order import Report, failure_of
from selfmoe.pipeline.workers.spread import spread
from selfmoe.pipeline.workers.work import work
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.shards import Share


@dataclass
class Here(Workers):
    """Does units in this process, the last one that was started first."""

    size: int = 3
    lost: list[str] = field(default_factory=list)
    """Names whose unit is lost, each time that it is there."""
    orders: list[Unit] = field(default_factory=list)
    started: list[str] = field(default_factory=list)

    def start(self, unit: Unit) -> None:
        assert len(self.orders) < self.size
        assert unit.name not in {other.name for other in self.orders}
        self.orders.append(unit)
        self.started.append(unit.name)

    def wait(self, seconds: float) -> Ended | None:
        unit = self.orders.pop()
        if unit.name.partition(" @")[0] in self.lost:
            self.lost.remove(unit.name.partition(" @")[0])
            return Ended(unit, lost="it fell asleep")
        return Ended(unit, work(unit.order))

    def close(self) -> None:
        self.orders.clear()


@pytest.fixture(autouse=True)
def _two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the four items of every evaluation be two shards."""
    monkeypatch.setattr(bridge, "_SHARD", 2)


@pytest.fixture
def plans(write_run: Any, tmp_path: Path) -> RunPlan:
    return make_plans(resolve(api.from_yaml(write_run()) | {"out": str(tmp_path / "run")}))


def crew(plans: RunPlan, workers: Workers, **changes: Any) -> Crew:
    facts = {"settings": json.dumps(plans.config.kept()), "versions": versions()}
    return Crew(workers, **{**facts, "threads": 1, "retries": 2, **changes})


def task(plans: RunPlan, name: str) -> Any:
    return next(task for task in plans.tasks if task.name == name)


def report(plans: RunPlan, name: str, share: Share | None = None, **changes: Any) -> Report:
    return Report(**work(crew(plans, Here(), **changes).unit(task(plans, name), share).order))


# --- one order ------------------------------------------------------------------------------------


def test_a_cell_is_filled_and_what_was_done_is_left(plans: RunPlan) -> None:
    first = report(plans, "seeds anything")
    assert first.error is None
    assert first.seconds is not None
    assert task(plans, "seeds anything").problem() is None
    assert report(plans, "seeds anything").seconds is None


def test_threads_come_with_the_order(plans: RunPlan) -> None:
    before = torch.get_num_threads()
    try:
        report(plans, "seeds anything", threads=3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_other_libraries_are_refused_by_name_and_versions(plans: RunPlan) -> None:
    other = versions() | {"torch": "1.0", "peft": "0.1"}
    error = report(plans, "seeds anything", versions=other).error
    assert isinstance(error, RunError)
    assert f"torch {versions()['torch']} and not 1.0" in str(error)
    assert f"peft {versions()['peft']} and not 0.1" in str(error)
    assert task(plans, "seeds anything").problem() is not None


def test_another_plan_is_refused(plans: RunPlan) -> None:
    settings = plans.config.model_copy(update={"seed": 7}).kept()
    unit = crew(plans, Here()).unit(task(plans, "seeds anything"))
    order = {**unit.order, "settings": json.dumps(settings), "root": 7}
    error = Report(**work(order)).error
    assert isinstance(error, RunError)
    assert f"and not @{unit.order['key']}" in str(error)


def test_an_error_that_only_a_plugin_knows_comes_as_one_that_all_know() -> None:
    class OwnError(StageError):
        pass

    assert failure_of(OwnError("no luck")) == ("StageError", "no luck")
    assert type(Report(failure=("StageError", "no luck")).error) is StageError


def test_shares_are_filled_apart_and_make_the_same_cell(plans: RunPlan, tmp_path: Path) -> None:
    name = "evaluate base/anything/mini"
    cell = task(plans, name).cell
    for first in (1, 0):
        assert report(plans, name, Share(first, 2)).error is None
        assert task(plans, name).problem() is not None
    shards = sorted(cell.work.rglob("shard-*"))
    assert [path.name for path in shards] == ["shard-00000.jsonl", "shard-00001.jsonl"]
    times = {path.stat().st_mtime_ns for path in shards}
    assert len(times) == 2
    assert report(plans, name).seconds is not None
    assert not cell.work.exists()
    before = (cell.path / "anything.mini.samples.jsonl").read_bytes()
    assert report(plans, name, Share(0, 2)).error is None
    assert not cell.work.exists()
    cell.path.rename(tmp_path / "aside")
    report(plans, name)
    assert (cell.path / "anything.mini.samples.jsonl").read_bytes() == before


# --- all of them ----------------------------------------------------------------------------------


def spread_over(plans: RunPlan, workers: Here, **changes: Any) -> tuple[Any, str]:
    stream = StringIO()
    session = Session(plans.config, plans.base, Display(Console(file=stream, width=500)))
    return spread(plans.tasks, session, crew(plans, workers, **changes)), stream.getvalue()


def test_everything_is_done_once_in_an_order_that_works(plans: RunPlan) -> None:
    workers = Here()
    outcome, said = spread_over(plans, workers)
    assert outcome.built == plans.tasks
    assert not any((outcome.reused, outcome.failed, outcome.skipped))
    names = [name.partition(" @")[0] for name in workers.started]
    assert len(workers.started) == len(set(workers.started))
    assert set(names) == {task.name for task in plans.tasks}
    evaluations = [name for name in names if name.startswith("evaluate")]
    assert len(evaluations) == 3 * len(set(evaluations))  # two shares, and what joins them
    assert f"[{len(plans.tasks)}/{len(plans.tasks)}]" in said
    again, _ = spread_over(plans, workers)
    assert again.reused == plans.tasks


def test_what_is_lost_is_done_again_so_many_times(plans: RunPlan) -> None:
    outcome, said = spread_over(plans, Here(lost=["seeds anything"] * 2))
    assert not outcome.failed
    assert said.count("seeds anything: it fell asleep; it is done again") == 2


def test_what_is_lost_too_often_fails_and_only_what_needs_it_is_skipped(plans: RunPlan) -> None:
    outcome, _ = spread_over(plans, Here(lost=["seeds anything"] * 3))
    [(failed, error)] = outcome.failed
    assert failed.name == "seeds anything"
    assert "lost each of 3 times, at last: it fell asleep" in str(error)
    names = {task.name for task in outcome.skipped}
    assert {"brainstorm anything", "specialise anything", "compose mixse"} <= names
    built = {task.name for task in outcome.built}
    assert {"specialise whatever", "evaluate base/anything/mini"} <= built
    assert len(built | names) == len(plans.tasks) - 1


def test_what_concerns_the_whole_run_stops_it(plans: RunPlan) -> None:
    with pytest.raises(SelfmoeError, match=r"and not 1\.0"):
        spread_over(plans, Here(), versions=versions() | {"torch": "1.0"})
