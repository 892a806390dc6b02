"""A comparison in the terminal: scores, then what each system gains and costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from selfmoe.reporting.comparison.model import ComparedSystem, ComparisonResults
from selfmoe.reporting.comparison.order import sentence
from selfmoe.reporting.model import Measured
from selfmoe.reporting.numbers import COLLAPSED, change, margin, p_value, percent
from selfmoe.reporting.terminal.narrow import print_table
from selfmoe.reporting.terminal.progress import duration
from selfmoe.reporting.terminal.tables import add_rows, legend, print_scores


def print_comparison(results: ComparisonResults, console: Console) -> None:
    """Print both tables and what must be known to read them, as wide as the console is."""
    print_scores(results, console)
    print_table(costs_table(results), console)
    console.print()
    for line in comparison_notes(results):
        console.print(line, markup=False)


def costs_table(results: ComparisonResults) -> Table:
    """Return, for every system, its average, its difference to the reference, and its cost."""
    table = Table(title="Averages in %, and cost", title_justify="left")
    table.add_column("system", no_wrap=True)
    for name in cost_columns(results):
        table.add_column(escape(name), justify="right", no_wrap=True)
    systems = results.systems
    add_rows(table, systems, [cost_row(results, system) for system in systems])
    return table


def cost_columns(results: ComparisonResults) -> tuple[str, ...]:
    """Return what ``cost_row`` holds, one name a column."""
    reference = results.paired.reference if results.paired else "–"
    return (
        "average", f"less {reference}", "p", "trained", "added", "forward", "entropy", "seconds",
    )  # fmt: skip


def cost_row(results: ComparisonResults, system: ComparedSystem) -> list[str]:
    """Return a system's average, its difference to the reference, and its cost, as text."""
    measured = results.paired.systems.get(system.name) if results.paired else None
    row = [_average(system), *_difference(measured)]
    row += [_magnitude(system.trained_parameters), _magnitude(system.added_parameters)]
    row += [_number(system.forward, "×", 2), _entropy(system), duration(system.seconds)]
    return row


def _average(system: ComparedSystem) -> str:
    return percent(system.average) + margin(system.average_low, system.average_high)


def _difference(measured: Measured | None) -> tuple[str, str]:
    estimate = measured.score if measured else None
    if estimate is None:
        return "–", "–"
    shown = p_value(estimate.p).replace(" ", "")  # the table is wide
    return f"{change(estimate.difference)}{margin(estimate.low, estimate.high)}", shown


def _magnitude(value: float | None) -> str:
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


def _entropy(system: ComparedSystem) -> str:
    return _number(system.entropy, "!" if system.collapsed else "", 2)


def comparison_notes(results: ComparisonResults) -> list[str]:
    """Return what a reader must know, and what came of what was asked."""
    return [*legend(results).splitlines(), *_about(results), *_alarms(results)]


def _about(results: ComparisonResults) -> Iterator[str]:
    paired = results.paired
    if paired is not None:
        several = results.interval != "items"
        law = f"Student's t over the {results.interval}" if several else "normal, over the items"
        yield f"Less {paired.reference}: on the same items, in points; two-sided p: {law}."
    yield (
        "Trained: parameters the composer fitted; added: what the system holds beside the base, "
        f"adapters and gate. Forward: operations of a prefill of {results.tokens} tokens, the "
        "base's being 1, counted, not timed. Entropy: of a token's weights, in bits, answers only. "
        "Seconds: to compose and evaluate."
    )
    if results.order:
        yield sentence(results.order)


def _alarms(results: ComparisonResults) -> Iterator[str]:
    for system in results.systems:
        if system.collapsed:
            yield (
                f"{system.name} has collapsed: expert {system.collapsed} gets over "
                f"{percent(COLLAPSED, 0)} % of the weight on every benchmark."
            )
    for label, why in results.left_out.items():
        yield f"Left out: {label}: {why}"
    for seed, cells in results.missing.items():
        for name, why in _first_of_each(list(cells.items())):
            yield f"Failed: {name} ({results.seed} {seed}): {why}"


def _first_of_each(cells: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield cells that failed themselves, with the first line of why."""
    for name, why in cells:
        if not why.startswith("not done: "):
            yield name, why.partition("\n")[0]
