"""The results of a run as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from selfmoe.progress import duration

Json = Mapping[str, Any]


def print_results(results: Json, console: Console) -> None:
    """Print scores, routing, data yield and times."""
    if any(system["scores"] for system in results["systems"]):
        for role in ("target", "non-target"):
            if benchmarks_of_role(results, role):
                console.print(scores_table(results, role))
        console.print(legend(results) + "\n", style="dim", markup=False)
    for table in (routing_table(results), yield_table(results), times_table(results)):
        if table is not None:
            console.print(table)


def benchmarks_of_role(results: Json, role: str) -> list[str]:
    """Return the benchmarks with a role, ``target`` or ``non-target``, in order."""
    scores = [pair for system in results["systems"] for pair in system["scores"].items()]
    return list(dict.fromkeys(b for b, score in scores if score.get("role", "target") == role))


def scores_table(results: Json, role: str = "target") -> Table:
    """Return systems by benchmarks: strict score in percent, lenient in brackets.

    Other than target benchmarks have no part in the averages, so their table shows none.
    """
    target = role == "target"
    title = "Scores in %" if target else "Other benchmarks, in %"
    table = Table(title=title, title_justify="left")
    table.add_column("system", no_wrap=True)
    table.add_column("kind", style="dim")
    benchmarks = benchmarks_of_role(results, role)
    for name in [*map(escape, benchmarks), *(("average", "gain") if target else ())]:
        table.add_column(name, justify="right")
    base = results["systems"][0]["average"]
    best = best_system(results["systems"])
    previous = None
    for system in results["systems"]:
        if previous not in (None, system["kind"]):
            table.add_section()
        previous = system["kind"]
        cells = [_score(system["scores"].get(name)) for name in benchmarks]
        style = "bold" if system["name"] == best else ""
        if target:
            cells += [_average(system), _gain(system["average"], base)]
        table.add_row(system["name"], system["kind"], *cells, style=style)
    return table


def _average(system: Json) -> str:
    average = _percent(system["average"], system.get("average_lenient"))
    covered, targets = system["covers"]
    return average if covered == targets else f"{average} over {covered} of {targets}"


def best_system(systems: Sequence[Json]) -> str | None:
    """Return the name of the system with the highest average, the base itself left out."""
    scored = [s for s in systems if s["kind"] != "base" and s["average"] is not None]
    best = max(scored, key=lambda s: s["average"], default=None)
    return best["name"] if best else None


def _score(score: Json | None) -> str:
    if score is None:
        return "–"
    if score["value"] is None:
        return f"not run: {score['not_run']}"
    half = (score["high"] - score["low"]) / 2
    return _percent(score["value"], score["lenient"], half)


def _percent(value: float | None, lenient: float | None = None, half: float | None = None) -> str:
    if value is None:
        return "–"
    spread = f" ±{100 * half:.0f}" if half is not None else ""
    loose = f" ({100 * lenient:.0f})" if lenient is not None else ""
    return f"{100 * value:.1f}{spread}{loose}"


def _gain(value: float | None, base: float | None) -> str:
    return "–" if value is None or base is None else f"{100 * (value - base):+.1f}"


def legend(results: Json) -> str:
    """Return what a reader must know about the scores, in a few lines."""
    scores = [score for s in results["systems"] for score in s["scores"].values()]
    counts = sorted({score["n"] for score in scores})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    level = f"{100 * results['confidence']:.0f} %"
    seeds = ", ".join(map(str, results["seeds"]))
    lines = [
        f"n = {n} items a benchmark; ± half the {level} interval over {results['interval']}"
        f" (root seed {seeds}); gain over base in points."
    ]
    if results["interval"] != "items":
        lines.append("No root seed touches the base: its interval is over items.")
    if any(score["lenient"] is not None for score in scores):
        lines.append("Strict: right and in the prescribed form. In brackets: right in any form.")
    if benchmarks_of_role(results, "non-target"):
        lines.append("Other benchmarks have no part in average and gain.")
    tiers = {s["extra"]["sandbox"] for s in scores if s["extra"].get("sandbox")}
    if tiers:
        lines.append(f"Generated code ran in the sandbox ({', '.join(sorted(tiers))}).")
    over = sum(score["extra"].get("overflowed", 0) for score in scores)
    if over:
        lines.append(f"{over} answers scored 0 because the prompt did not fit the context.")
    return "\n".join(lines)


def routing_table(results: Json) -> Table | None:
    """Return, for every routed system and benchmark, each expert's share of the answer tokens."""
    routing = results["routing_response"] or results["routing"]
    if not routing:
        return None
    part = "answer tokens" if results["routing_response"] else "tokens"
    table = Table(title=f"Routing: share of {part} in %", title_justify="left")
    table.add_column("system")
    table.add_column("benchmark")
    experts = list(next(iter(next(iter(routing.values())).values())))
    for expert in experts:
        table.add_column(expert, justify="right")
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
    for column in ("domain", "written", "instructions", "kept"):
        table.add_column(column, justify="left" if column == "domain" else "right")
    table.add_column("dropped, by reason")
    for seed, domains in results["data"].items():
        for domain, counts in domains.items():
            reasons = {**counts["dropped"]["brainstorm"], **counts["dropped"]["curate"]}
            text = ", ".join(f"{n} {why}" for why, n in sorted(reasons.items()))
            name = domain if len(results["data"]) == 1 else f"{domain} (seed {seed})"
            numbers = [str(counts[key]) for key in ("written", "instructions", "kept")]
            table.add_row(name, *numbers, Text(text or "none"))
    return table


def times_table(results: Json) -> Table:
    """Return how long every stage took when its cells were made."""
    table = Table(title="Time", title_justify="left")
    for stage in results["seconds"]:
        table.add_column(stage, justify="right")
    table.add_column("sum", justify="right")
    times = list(results["seconds"].values())
    table.add_row(*(duration(seconds) for seconds in [*times, sum(times)]))
    return table
