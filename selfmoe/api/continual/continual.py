"""Letting experts come: every state is made in turn, then measured beside those before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfmoe.api.continual.plan import ContinualPlan, plan_continual, planned
from selfmoe.api.continual.states import State, back
from selfmoe.api.expert_settings import Join
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import System
from selfmoe.pipeline.execute import fill, manifest_of
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Task
from selfmoe.reporting.continual.model import Arrival, ContinualResults
from selfmoe.reporting.continual.page import continual_page
from selfmoe.reporting.model import Changes
from selfmoe.reporting.numbers import whole_mean
from selfmoe.reporting.paired import since
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.beside import ContinualDirectory
from selfmoe.store.cells import Cells, read_json
from selfmoe.store.files import SEAL, damage
from selfmoe.store.manifest import Manifest
from selfmoe.store.status import size_of


@dataclass(frozen=True)
class Continual:
    """What came of experts that come one by one.

    Attributes:
        directory: Where it lies.
        results: What ``continual/results.json`` holds.
        outcome: What was done now.
    """

    directory: ContinualDirectory
    results: ContinualResults
    outcome: Outcome


def continual(
    run: str | Path,
    experts: Sequence[str] | None = None,
    *,
    join: Join = "extend",
    systems: Sequence[str] | None = None,
    display: Display | None = None,
) -> Continual:
    """Let experts come to a run one by one, and measure every state; nothing is done twice.

    Args:
        run: Folder of a finished run. Its settings, manifest and report stay as they are.
        experts: Who comes, in order: experts of the run, which it then begins without, and domains
            that plugins provide. ``None``: the run's own, all but the first.
        join: ``extend``: compositions take in who comes and keep what they have learnt, where they
            can; ``refit``: they are made anew each time.
        systems: Labels of the compositions they join; ``None``: all that route.
        display: Where progress is shown; default: standard error.

    Raises:
        SelfmoeError: If the run or a name is wrong, or something could not be made. What was
            finished is kept; the same call goes on from there.
    """
    plan = plan_continual(run, experts, join=join, systems=systems)
    made = carry_out(plan, display or Display(), join)
    made.outcome.raise_failures()
    return made


def carry_out(plan: ContinualPlan, display: Display, join: Join) -> Continual:
    """Do what a plan says; write the numbers of the states that could be made, and a page."""
    directory = plan.directory
    with directory.writing():
        directory.write_plan(plan.rows)
        outcome, made = _fill(plan, Session(plan.config, plan.base, display))
        manifest = manifest_of(plan, outcome)
        directory.write_manifest(manifest)
        results = _collect(plan, made, manifest, join)
        directory.write_found(results, continual_page(results))
    return Continual(directory, results, outcome)


class Made:
    """A state that was made.

    Args:
        state: The state.
        plans: Its plans.
        outcome: What came of them.
        kept: Whether the experts of the states before are the files that they were.

    Attributes:
        state: The state.
        plans: Its plans.
        kept: The same as the argument.
        cells: What is there of it.
    """

    def __init__(self, state: State, plans: RunPlan, outcome: Outcome, kept: bool | None) -> None:
        self.state, self.plans, self.kept = state, plans, kept
        self.cells = Cells(plans.directory.root, manifest_of(plans, outcome))

    def of(self, *stages: str) -> dict[Path, Task]:
        """Return the tasks of some stages, or all, by where their cells lie."""
        tasks = self.plans.tasks
        return {task.cell.path: task for task in tasks if not stages or task.stage in stages}


def _fill(plan: ContinualPlan, session: Session) -> tuple[Outcome, list[Made]]:
    """Fill the cells of one state after the other, up to one that fails."""
    whole, made, experts = Outcome(), list[Made](), dict[Path, bytes]()
    for state, plans in zip(plan.states, plan.plans, strict=True):
        part = fill(plans.tasks, session.under(plans.config))
        whole.add(part)
        if part.failed:
            break
        kept = all(_seal(path) == seal and not damage(path) for path, seal in experts.items())
        made.append(Made(state, plans, part, kept if experts else None))
        experts |= {path: _seal(path) for path in made[-1].of("specialise")}
    return whole, made


def _seal(folder: Path) -> bytes:
    """Return what says which files a cell has, with their hashes."""
    return (folder / SEAL).read_bytes()


def _collect(
    plan: ContinualPlan, made: Sequence[Made], manifest: Manifest, join: Join
) -> ContinualResults:
    config = plan.config
    return ContinualResults(
        format=ContinualResults.FORMAT,
        base=manifest.base,
        track=config.track,
        preset=str(config.preset),
        seeds=config.root_seeds,
        join=join,
        confidence=config.report.confidence,
        start=plan.states[0].config.experts,
        systems=list(plan.config.compose or {}),
        arrivals=[_arrival(made[: place + 1]) for place in range(len(made))],
        missing=manifest.missing,
        versions=manifest.versions,
        cells=[cell.key for _, cell in manifest.all_cells()],
    )


def _arrival(made: Sequence[Made]) -> Arrival:
    """Return what the last of some states cost, and what its systems can do."""
    now, before = made[-1], made[:-1]
    former = {path for one in before for path in one.of()}
    new = {path: task for path, task in now.of().items() if path not in former}
    seconds, sizes = defaultdict[str, float](float), defaultdict[str, int](int)
    for path, task in new.items():
        seconds[task.stage] += float(read_json(path / SEAL).get("seconds", 0.0))
        if task.stage in ("specialise", "compose"):
            sizes[task.stage] += size_of(path)
    expert = now.state.expert
    return Arrival(
        expert=expert,
        experts=len(now.state.config.experts),
        seconds={stage: round(taken, 3) for stage, taken in seconds.items()},
        bytes=dict(sizes),
        unchanged=now.kept,
        found_again=_found_again(now, before[-1]) if before else None,
        home=_scores(now.cells, System.of_expert(expert).name) if expert else {},
        scores={label: _scores(now.cells, label) for label in now.state.config.compose or {}},
        since=dict(_since(made)),
    )


def _scores(cells: Cells, system: str) -> dict[str, float | None]:
    """Return a system's scores on the targets, mean over the root seeds."""
    found: dict[str, list[float | None]] = {}
    for seed in cells.seeds:
        for name, _, about in cells.scores(seed):
            if name == system and about["role"] == "target":
                found.setdefault(about["benchmark"], []).append(about["value"])
    return {name: whole_mean(values) for name, values in found.items()}


def _since(made: Sequence[Made]) -> Iterator[tuple[str, dict[str, Changes]]]:
    """Yield every system with what became of each benchmark since its expert came."""
    now = made[-1]
    level = now.state.config.report.confidence
    origins: dict[str, Cells] = {}
    for one in made[:-1]:
        for domain, choice in one.plans.first.choices.items():
            for benchmark in choice.asked:
                origins.setdefault(str(BenchmarkName(domain, benchmark.name)), one.cells)
    for label in now.state.config.compose or {}:
        if origins:
            yield label, since(origins, now.cells, label, level)


def _found_again(now: Made, before: Made) -> bool:
    """Return whether taking the last expert out finds the state before, all of it done."""
    again = planned(back(now.state, before.state), now.plans.base, now.plans.directory.root)
    keys = [(task.cell_name, task.cell.key) for task in again.tasks]
    former = [(task.cell_name, task.cell.key) for task in before.plans.tasks]
    return sorted(map(str, keys)) == sorted(map(str, former)) and not any(
        task.problem() for task in again.tasks
    )
