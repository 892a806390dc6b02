"""What a run is going to do, in words: the plan of ``--dry-run`` and the budget line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from selfmoe.cli.cost_table import print_costs
from selfmoe.pipeline.forecast import Rates
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.task import Task
from selfmoe.reporting.terminal.progress import Display, output


def print_plans(plans: RunPlan, rates: Rates) -> None:
    """Print every cell with its key, its size, whether it is done or why not, and what it takes."""
    console, done = output(), 0
    for plan in plans:
        title = f"Plan for {plan.directory.root}, root seed {plan.root}"
        done += _print_table(title, plan.tasks)
    for line in (*_left_out(plans), *_base(plans), f"{place(plans)}.", f"{asked_in(plans)}."):
        console.print(line, markup=False, soft_wrap=True)
    _print_counts(done, len(plans.tasks))
    print_costs(plans.tasks, rates)


def print_tasks(title: str, tasks: Sequence[Task], rates: Rates) -> None:
    """Print every task with its key, its size, whether it is done or why not, and what it takes.

    Args:
        title: What the tasks are.
        tasks: The tasks.
        rates: What such cells took.
    """
    _print_counts(_print_table(title, tasks), len(tasks))
    print_costs(tasks, rates)


def say_todo(what: str, tasks: Sequence[Task], display: Display) -> None:
    """Say how much there is to do, before it is done."""
    missing = sum(task.problem() is not None for task in tasks)
    if missing:
        display.say(f"{what}: {missing} of {len(tasks)} cells to do")
    else:
        display.say(f"Nothing to do: all {len(tasks)} cells are there.")


def _print_counts(done: int, total: int) -> None:
    output().print(f"{done} of {total} cells are done, {total - done} to do. Nothing was changed.")


def _print_table(title: str, tasks: Sequence[Task]) -> int:
    """Print tasks and return how many of them are done."""
    table = Table(title=title, title_justify="left")
    for column in ("stage", "cell", "key", "size", "state"):
        table.add_column(column, overflow="fold")
    states = {task.cell: state_of(task.cell.path.exists(), task.problem()) for task in tasks}
    for task in tasks:
        state = states[task.cell]
        waits = [t.name for t in task.inputs.values() if states.get(t.cell, "done") != "done"]
        if state != "done" and waits:
            state += f", after {waits[0]}" + (f" and {len(waits) - 1} more" if waits[1:] else "")
        table.add_row(task.stage, task.label, task.cell.key, task.size, state)
    output().print(table)
    return sum(states[task.cell] == "done" for task in tasks)


def state_of(exists: bool, problem: str | None) -> str:
    """Return the state of a cell in words."""
    if problem is None:
        return "done"
    return f"to do again: {problem}" if exists else "to do"


def _left_out(plans: RunPlan) -> list[str]:
    """Return one line a benchmark that is not asked though nobody decided against it."""
    return [f"Not asked: {identity}: {reason}" for identity, reason in plans.left_out.items()]


def _base(plans: RunPlan) -> list[str]:
    """Return what a base is whose settings do not name it whole, and what may differ with it."""
    base = plans.base
    named = [] if base.name == plans.config.base else [f"Base: {base.name}, in {base.path}."]
    return [*named, *(f"Note: {note}." for note in base.notes)]


def place(plans: RunPlan) -> str:
    """Return where the base runs, in which number format, and why in that one."""
    base = plans.base
    return f"On {base.device} in {base.dtype} ({base.why})"


def asked_in(plans: RunPlan) -> str:
    """Return in which template tasks are put to the base and its experts, and why in that one."""
    template = plans.base.template
    return f"Tasks are put in template {template.name} ({template.why})"


def print_budget(plans: RunPlan, cells: int, display: Display) -> None:
    """Print what the settings amount to, before the work starts."""
    config = plans.config
    domains = ", ".join(config.domains or [])
    systems = ", ".join(config.compose or {})
    options = config.specialise.options
    trained = ", ".join(
        f"{key} {options[key]}" for key in ("epochs", "max_steps") if options.get(key)
    )
    limit = config.evaluate.limit or "all"
    display.say(
        f"Base {plans.base.name}, track {config.track}, preset {config.preset}: {cells} cells to do"
    )
    display.say(f"  {place(plans)}")
    display.say(f"  {asked_in(plans)}")
    display.say(f"  domains {domains}; systems {systems}")
    display.say(
        f"  a domain: {config.seeds.n} seeds, {config.brainstorm.n} instructions; "
        f"expert: {trained}; {limit} items a benchmark"
    )
    for line in _left_out(plans):
        display.say(f"  {line}")
