"""The figures of the page as PNG and PDF, for papers and slides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selfmoe.reporting.html.routing import PART_NAMES, shares
from selfmoe.reporting.html.work import thinned
from selfmoe.reporting.model import DataYield, RunResults, Spread, SystemScores
from selfmoe.reporting.numbers import percent
from selfmoe.reporting.palette import colour
from selfmoe.reporting.terminal.tables import benchmarks_of_role
from selfmoe.reporting.visible import short
from selfmoe.store.cells import Json
from selfmoe.store.files import cannot_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row = tuple[SystemScores, Spread]

KINDS = {"base": "#6b7480", "expert": "#b7791f", "router": "#1f66c1", "merge": "#13795f"}
DPI = 200
"""Dots an inch of the PNG files."""


def save_figures(results: RunResults, details: Json, folder: Path) -> list[Path]:
    """Write all figures a run has something for, and return the files.

    Raises:
        RunError: If the folder cannot be written to.
    """
    import matplotlib

    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Names are shown as they are: `$` in them is no formula.
        with matplotlib.rc_context({"text.parse_math": False, "pdf.fonttype": 42}):
            for name, figure in _figures(results, details):
                paths += _save(figure, folder / name)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return paths


def _save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF; equal figures are equal files."""
    png, pdf = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf")
    figure.savefig(png, dpi=DPI)
    figure.savefig(pdf, metadata={"CreationDate": None})
    return [png, pdf]


def _figures(results: RunResults, details: Json) -> Iterator[tuple[str, Figure]]:
    if averages := _known([(system, system.spread) for system in results.systems]):
        yield "averages", _averages(averages)
    if benchmarks := [n for r in ("target", "non-target") for n in benchmarks_of_role(results, r)]:
        yield "benchmarks", _benchmarks(results, benchmarks)
    for system, names in details["experts"].items():
        yield f"routing-{system}", _routing(details["blocks"][system], names)
        yield f"routing-{system}-blocks", _by_block(details["blocks"][system], names)
    if any(results.data.values()):
        yield "data", _data(results)
    if fits := [fit for fit in details["fits"] if fit["losses"]]:
        yield "losses", _losses(fits)


def _new(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _known(rows: Iterable[tuple[SystemScores, Spread | None]]) -> list[_Row]:
    return [(system, spread) for system, spread in rows if spread is not None]


def _averages(rows: Sequence[_Row]) -> Figure:
    figure = _new(6, 0.8 + 0.28 * len(rows))
    _forest(figure.subplots(), rows, "average over the targets, %")
    return figure


def _benchmarks(results: RunResults, names: Sequence[str]) -> Figure:
    systems = results.systems
    columns = 2 if len(names) in (2, 4) else min(3, len(names))
    lines = -(-len(names) // columns)
    figure = _new(4.2 * columns, lines * (0.9 + 0.26 * len(systems)))
    grid = figure.subplots(lines, columns, squeeze=False).flat
    for axes, name in zip(grid, names, strict=False):
        scores = [(s, s.scores[name]) for s in systems if name in s.scores]
        _forest(axes, _known((system, score.spread) for system, score in scores))
        axes.set_title(short(name, 28), fontsize="medium", loc="left")
    for axes in list(figure.axes)[len(names) :]:
        axes.remove()
    return figure


def _forest(axes: Axes, rows: Sequence[_Row], label: str = "%") -> None:
    """Draw one interval a row, in percent, the first row on top."""
    for index, (system, spread) in enumerate(rows):
        low, high, tint = 100 * spread.low, 100 * spread.high, KINDS[system.kind]
        axes.plot([low, high], [index, index], color=tint, alpha=0.45, linewidth=2.5)
        axes.plot(100 * spread.value, index, "o", color=tint, markersize=5)
        if spread.lenient is not None:
            at = 100 * spread.lenient
            axes.plot(at, index, "o", color=tint, markersize=4, markerfacecolor="white", zorder=1)
    if rows and rows[0][0].kind == "base":
        axes.axvline(100 * rows[0][1].value, color="#6b7480", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [short(system.name, 28) for system, _ in rows])
    axes.set(xlim=(-2, 102), ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")
    axes.grid(axis="x", color="#dfe1e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _routing(blocks: Mapping[str, Json], names: Sequence[str]) -> Figure:
    parts = [part for part in PART_NAMES if any(part in known for known in blocks.values())]
    parts = [part for part in parts if part != "all"] or parts
    size = (len(parts) * (1.8 + 0.6 * len(names)), 1.2 + 0.4 * len(blocks))
    figure = _new(*size)
    for axes, part in zip(figure.subplots(1, len(parts), squeeze=False).flat, parts, strict=True):
        rows = {name: shares(known[part]) for name, known in blocks.items() if part in known}
        _heat(axes, list(rows.values()), list(rows), names)
        axes.set_title(PART_NAMES[part], fontsize="medium")
    return figure


def _by_block(blocks: Mapping[str, Json], names: Sequence[str]) -> Figure:
    """Return experts by blocks over the answer tokens, one panel a benchmark."""
    depth = max(len(parts["all"]) for parts in blocks.values())
    figure = _new(1.6 + max(3.0, 0.42 * depth), len(blocks) * (0.7 + 0.34 * len(names)))
    grid = figure.subplots(len(blocks), 1, squeeze=False).flat
    for axes, (benchmark, parts) in zip(grid, blocks.items(), strict=True):
        matrix = [shares([row]) for row in parts["response" if "response" in parts else "all"]]
        columns = [list(row) for row in zip(*matrix, strict=True)]
        _heat(axes, columns, names, [str(block) for block in range(len(matrix))], slant=False)
        axes.set_title(f"{short(benchmark, 28)}, by block", fontsize="medium", loc="left")
    return figure


def _heat(
    axes: Axes,
    values: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    slant: bool = True,
) -> None:
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            tint = "white" if value > 0.7 else "#1d2025"
            axes.text(x, y, percent(value, 0), ha="center", va="center", color=tint, fontsize=8)
    axes.set_yticks(range(len(rows)), [short(name, 28) for name in rows])
    axes.set_xticks(range(len(columns)), [short(name, 28) for name in columns])
    if slant:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right")
    axes.tick_params(length=0, labelsize="small")
    axes.spines[:].set_visible(False)


def _data(results: RunResults) -> Figure:
    several = len(results.data) > 1
    rows: dict[str, DataYield] = {
        f"{domain}, seed {seed}" if several else domain: counts
        for seed, domains in results.data.items()
        for domain, counts in domains.items()
    }
    figure = _new(6, 0.9 + 0.55 * len(rows))
    axes = figure.subplots()
    stages = (("written", "#a9c6e8"), ("instructions", "#4d8fe0"), ("kept", "#13795f"))
    for number, (key, tint) in enumerate(stages):
        at = [index + 0.27 * (number - 1) for index in range(len(rows))]
        bars = axes.barh(
            at, [getattr(counts, key) for counts in rows.values()], 0.25, color=tint, label=key
        )
        axes.bar_label(bars, fontsize=7, padding=2)
    axes.set_yticks(range(len(rows)), [short(name, 28) for name in rows])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _plain(axes)
    return figure


def _losses(fits: Sequence[Json]) -> Figure:
    figure = _new(6, 3.4)
    axes = figure.subplots()
    several = len({fit["seed"] for fit in fits}) > 1
    for index, fit in enumerate(fits):
        losses = thinned(fit["losses"])
        last = max(1, len(losses) - 1)
        name = f"{fit['name']}, seed {fit['seed']}" if several else fit["name"]
        done = [at / last for at in range(len(losses))]
        axes.plot(done, losses, color=colour(index), label=short(name, 28), linewidth=1.3)
    axes.set(xlabel="share of the steps", ylabel="loss on the responses", ylim=(0, None))
    axes.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    _plain(axes)
    return figure
