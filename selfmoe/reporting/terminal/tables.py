"""The results of a run as tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from selfmoe.reporting.terminal.narrow import fits, print_table
from selfmoe.reporting.terminal.progress import duration

Json = Mapping[str, Any]

_NOT_RUN = "not run: "


def print_results(results: Json, console: Console) -> None:
    """Print scores, routing, data yield and times, as wide as the console is."""
    if any(system["scores"] for system in results["systems"]):
        for role in ("target", "non-target"):
            if benchmarks_of_role(results, role):
                table = scores_table(results, role)
                if not fits(table, console):
                    table = scores_table(results, role, narrow=True)
                print_table(table, console)
                console.print()
        console.print(legend(results), style="dim", markup=False)
    for found, keys in ((routing_table(results), 2), (yield_table(results), 1)):
        if found is not None:
            console.print()
            print_table(found, console, keys)
    console.print()
    print_table(times_table(results), console, keys=0)


def benchmarks_of_role(results: Json, role: str) -> list[str]:
    """Return the benchmarks with a role, ``target`` or ``non-target``, in order."""
    scores = [pair for system in results["systems"] for pair in system["scores"].items()]
    return list(dict.fromkeys(b for b, score in scores if score.get("role", "target") == role))


def scores_table(results: Json, role: str = "target", *, narrow: bool = False) -> Table:
    """Return systems by benchmarks: strict score in percent, lenient in brackets.

    Other than target benchmarks have no part in the averages, so their table shows none.

    Args:
        results: What ``results.json`` holds.
        role: ``target`` or ``non-target``.
        narrow: Break the benchmarks' names at ``/``, and show last of what kind a system is.
    """
    target = role == "target"
    title = "Scores in %" if target else "Other benchmarks, in %"
    table = Table(title=title, title_justify="left")
    table.add_column("system", no_wrap=True)
    names = benchmarks_of_role(results, role)
    columns = [*names, *(("average", "gain") if target else ())]
    kind = len(columns) if narrow else 0
    columns.insert(kind, "kind")
    rows = [_numbers(system, names, results["systems"][0], target) for system in results["systems"]]
    for system, row in zip(results["systems"], rows, strict=True):
        row.insert(kind, system["kind"])
    for place, name in enumerate(columns):
        heading = escape(name.replace("/", "/\n") if narrow else name)
        long = any(row[place].startswith(_NOT_RUN) for row in rows)
        justify: JustifyMethod = "left" if place == kind else "right"
        style = "dim" if place == kind else None
        table.add_column(heading, justify=justify, style=style, no_wrap=not long)
    add_rows(table, results["systems"], rows)
    return table


def add_rows(table: Table, systems: Sequence[Json], rows: Sequence[Sequence[str]]) -> None:
    """Add one row a system, in sections by kind, the best one in bold."""
    best = best_system(systems)
    for (system, first), row in zip(by_kind(systems), rows, strict=True):
        if first:
            table.add_section()
        style = "bold" if system["name"] == best else ""
        table.add_row(escape(marked(system)), *map(escape, row), style=style)


def by_kind(systems: Sequence[Json]) -> Iterator[tuple[Json, bool]]:
    """Yield every system, and whether it is of another kind than the one before it."""
    previous = None
    for system in systems:
        yield system, previous not in (None, system["kind"])
        previous = system["kind"]


def marked(system: Json) -> str:
    """Return a system's name, with a star if it is told what others are not."""
    return f"{system['name']} *" if system.get("labelled") else str(system["name"])


def _numbers(system: Json, benchmarks: Sequence[str], base: Json, target: bool) -> list[str]:
    scores = [_score(system["scores"].get(name)) for name in benchmarks]
    return [*scores, *((_average(system), _gain(system, base)) if target else ())]


def _average(system: Json) -> str:
    average = _percent(system["average"], system.get("average_lenient"))
    covered, targets = system["covers"]
    return average if is_complete(system) else f"{average} over {covered} of {targets}"


def best_system(systems: Sequence[Json]) -> str | None:
    """Return the name of the system with the highest average over all targets.

    Bases are left out, and systems that are told the domain of an item.
    """
    scored = [
        s
        for s in systems
        if s["kind"] != "base"
        and not s.get("labelled")
        and s["average"] is not None
        and is_complete(s)
    ]
    best = max(scored, key=lambda s: s["average"], default=None)
    return best["name"] if best else None


def _score(score: Json | None) -> str:
    if score is None:
        return "–"
    if score["value"] is None:
        return f"{_NOT_RUN}{score['not_run']}"
    half = (score["high"] - score["low"]) / 2
    return _percent(score["value"], score["lenient"], half)


def _percent(value: float | None, lenient: float | None = None, half: float | None = None) -> str:
    if value is None:
        return "–"
    spread = f" ±{100 * half:.0f}" if half is not None else ""
    loose = f" ({100 * lenient:.0f})" if lenient is not None else ""
    return f"{100 * value:.1f}{spread}{loose}"


def gain(system: Json, base: Json) -> float | None:
    """Return a system's average less the base's, if both are over all targets."""
    if not (is_complete(system) and is_complete(base)) or system["average"] is None:
        return None
    return float(system["average"] - base["average"])


def is_complete(system: Json) -> bool:
    """Return whether a system has a score on every target."""
    covered, targets = system["covers"]
    return bool(covered == targets)


def _gain(system: Json, base: Json) -> str:
    value = gain(system, base)
    return "–" if value is None else f"{100 * value:+.1f}"


def legend(results: Json) -> str:
    """Return what a reader must know about the scores, in a few lines."""
    scores = [score for s in results["systems"] for score in s["scores"].values()]
    counts = sorted({score["n"] for score in scores})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    level = f"{100 * results['confidence']:.0f} %"
    seeds, seed = ", ".join(map(str, results["seeds"])), results.get("seed", "root seed")
    lines = [
        f"n = {n} items a benchmark; ± half the {level} interval over {results['interval']}"
        f" ({seed} {seeds}); gain over base in points."
    ]
    if results["interval"] != "items":
        what = "base and experts: their" if "expert" in _fixed(results) else "the base: its"
        lines.append(f"No {seed} touches {what} interval is over items.")
        lines += _incomplete(results, seed)
    if any(score["lenient"] is not None for score in scores):
        lines.append("Strict: right and in the prescribed form. In brackets: right in any form.")
    if any(system.get("labelled") for system in results["systems"]):
        lines.append("* is told the domain of every item, which other systems are not.")
    if benchmarks_of_role(results, "non-target"):
        lines.append("Other benchmarks have no part in average and gain.")
    tiers = {s["extra"]["sandbox"] for s in scores if s["extra"].get("sandbox")}
    if tiers:
        lines.append(f"Generated code ran in the sandbox ({', '.join(sorted(tiers))}).")
    over = sum(score["extra"].get("overflowed", 0) for score in scores)
    if over:
        lines.append(f"{over} answers scored 0 because the prompt did not fit the context.")
    return "\n".join(lines)


def _fixed(results: Json) -> tuple[str, ...]:
    """Return the kinds of systems that no seed touches: of a comparison, its experts, too."""
    return ("base", "expert") if "seed" in results else ("base",)


def _incomplete(results: Json, seed: str) -> list[str]:
    """Return a line on the scores that not every seed has."""
    asked = len(results["seeds"])
    found = [
        f"{system['name']} on {name}: {len(score.get('by_seed', [0]))} of {asked}"
        for system in results["systems"]
        for name, score in system["scores"].items()
        if system["kind"] not in _fixed(results) and len(score.get("by_seed", [0])) < asked
    ]
    return [f"Not every {seed} has a score: {'; '.join(found)}."] if found else []


def routing_table(results: Json) -> Table | None:
    """Return, for every routed system and benchmark, each expert's share of the answer tokens."""
    routing = results["routing_response"] or results["routing"]
    if not routing:
        return None
    part = "answer tokens" if results["routing_response"] else "tokens"
    table = Table(title=f"Routing: share of {part} in %", title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column("benchmark", no_wrap=True)
    experts = list(next(iter(next(iter(routing.values())).values())))
    for expert in experts:
        table.add_column(escape(expert), justify="right", no_wrap=True)
    for system, benchmarks in routing.items():
        for name, shares in benchmarks.items():
            top = max(shares.values())
            cells = [
                Text(f"{100 * shares[e]:.0f}", style="bold" if shares[e] == top else "")
                for e in experts
            ]
            table.add_row(system, name, *cells)
    return table


def yield_table(results: Json) -> Table | None:
    """Return what became of the generated tasks, by domain and reason."""
    if not any(results["data"].values()):
        return None
    table = Table(title="Self-generated data", title_justify="left")
    columns = ["domain", "written", "instructions", "kept"]
    rows = [counts for domains in results["data"].values() for counts in domains.values()]
    if any("retrieved" in counts for counts in rows):
        columns.append("kept with passages")
    for column in columns:
        justify: JustifyMethod = "left" if column == "domain" else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    table.add_column("dropped, by reason")
    for seed, domains in results["data"].items():
        for domain, counts in domains.items():
            reasons = {**counts["dropped"]["brainstorm"], **counts["dropped"]["curate"]}
            text = ", ".join(f"{n} {why}" for why, n in sorted(reasons.items()))
            name = domain if len(results["data"]) == 1 else f"{domain} (seed {seed})"
            known = counts | {"kept with passages": counts.get("retrieved", {}).get("kept", "–")}
            numbers = [str(known[column]) for column in columns[1:]]
            table.add_row(name, *numbers, Text(text or "none"))
    return table


def times_table(results: Json) -> Table:
    """Return how long every stage took when its cells were made."""
    table = Table(title="Time", title_justify="left")
    for stage in results["seconds"]:
        table.add_column(stage, justify="right", no_wrap=True)
    table.add_column("sum", justify="right", no_wrap=True)
    times = list(results["seconds"].values())
    table.add_row(*(duration(seconds) for seconds in [*times, sum(times)]))
    return table
