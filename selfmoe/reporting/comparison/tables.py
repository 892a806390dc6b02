"""A comparison in the terminal: scores, then what each system gains and costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from selfmoe.reporting.comparison.order import sentence
from selfmoe.reporting.numbers import percent
from selfmoe.reporting.terminal.narrow import fits, print_table
from selfmoe.reporting.terminal.progress import duration
from selfmoe.reporting.terminal.tables import add_rows, benchmarks_of_role, legend, scores_table

Json = Mapping[str, Any]


def print_comparison(results: Json, console: Console) -> None:
    """Print both tables and what must be known to read them, as wide as the console is."""
    for role in ("target", "non-target"):
        if benchmarks_of_role(results, role):
            table = scores_table(results, role)
            if not fits(table, console):
                table = scores_table(results, role, narrow=True)
            print_table(table, console)
            console.print()
    print_table(costs_table(results), console)
    console.print()
    for line in notes(results):
        console.print(line, markup=False)


def costs_table(results: Json) -> Table:
    """Return, for every system, its average, its difference to the reference, and its cost."""
    table = Table(title="Averages in %, and cost", title_justify="left")
    table.add_column("system", no_wrap=True)
    for name in cost_columns(results):
        table.add_column(escape(name), justify="right", no_wrap=True)
    systems = results["systems"]
    add_rows(table, systems, [cost_row(results, system) for system in systems])
    return table


def cost_columns(results: Json) -> tuple[str, ...]:
    """Return what ``cost_row`` holds, one name a column."""
    reference = (results["paired"] or {"reference": "–"})["reference"]
    return (
        "average", f"less {reference}", "p", "trained", "added", "forward", "entropy", "seconds",
    )  # fmt: skip


def cost_row(results: Json, system: Json) -> list[str]:
    """Return a system's average, its difference to the reference, and its cost, as text."""
    paired = (results["paired"] or {"systems": {}})["systems"]
    row = [_average(system), *_difference(paired.get(system["name"]))]
    row += [_count(system["trained_parameters"]), _count(system["added_parameters"])]
    row += [_number(system["forward"], "×", 2), _entropy(system), duration(system["seconds"])]
    return row


def _average(system: Json) -> str:
    low, high = system["average_low"], system["average_high"]
    half = "" if low is None else f" ±{100 * (high - low) / 2:.1f}"
    return percent(system["average"]) + half


def _difference(measures: Json | None) -> tuple[str, str]:
    estimate = (measures or {}).get("score")
    if estimate is None:
        return "–", "–"
    low, high, p = estimate["low"], estimate["high"], estimate["p"]
    half = "" if low is None else f" ±{100 * (high - low) / 2:.1f}"
    shown = "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
    return f"{100 * estimate['difference']:+.1f}{half}", shown


def _count(value: float | None) -> str:
    """Return a number of parameters: ``512``, ``4.1 k``, ``3.2 M``."""
    if value is None:
        return "–"
    for unit in ("", " k", " M", " G"):
        if abs(value) < 1000 or unit == " G":
            break
        value /= 1000
    return f"{value:.0f}" if unit == "" else f"{value:.1f}{unit}"


def _number(value: float | None, unit: str, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}{unit}"


def _entropy(system: Json) -> str:
    return _number(system["entropy"], "!" if system["collapsed"] else "", 2)


def notes(results: Json) -> list[str]:
    """Return what a reader must know, and what came of what was asked."""
    return [*legend(results).splitlines(), *_about(results), *_alarms(results)]


def _about(results: Json) -> Iterator[str]:
    paired = results["paired"]
    if paired is not None:
        several = results["interval"] != "items"
        law = f"Student's t over the {results['interval']}" if several else "normal, over the items"
        yield f"Less {paired['reference']}: on the same items, in points; two-sided p: {law}."
    yield (
        "Trained: parameters the composer fitted; added: what the system holds beside the base, "
        f"adapters and gate. Forward: operations of a prefill of {results['tokens']} tokens, the "
        "base's being 1, counted, not timed. Entropy: of a token's weights, in bits, answers only. "
        "Seconds: to compose and evaluate."
    )
    if results["order"]:
        yield sentence(results["order"])


def _alarms(results: Json) -> Iterator[str]:
    for system in results["systems"]:
        if system["collapsed"]:
            yield (
                f"{system['name']} has collapsed: expert {system['collapsed']} gets over 95 % of "
                "the weight on every benchmark."
            )
    for label, why in results["left_out"].items():
        yield f"Left out: {label}: {why}"
    for seed, cells in results["missing"].items():
        for name, why in _first_of_each(list(cells.items())):
            yield f"Failed: {name} ({results['seed']} {seed}): {why}"


def _first_of_each(cells: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield cells that failed themselves, with the first line of why."""
    for name, why in cells:
        if not why.startswith("not done: "):
            yield name, why.partition("\n")[0]
