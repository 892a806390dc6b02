"""Figures of the documentation, drawn from the committed results as SVG."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from _generate import speed
from _generate.seedling import FULL, ROOT, read

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = ROOT / "docs" / "_static" / "figures"
LOG = ROOT / "results" / "seedling-train.log"
_TICKS = (0.3, 0.5, 1, 2, 4, 7)
_STEP = re.compile(r"step (\d+)/\d+ +([\d.]+) Mtok +loss ([\d.]+) +average ([\d.]+)")


def _training(axes: Axes) -> None:
    rows = [
        tuple(map(float, m.groups())) for m in map(_STEP.match, LOG.read_text().split("\n")) if m
    ]
    tokens = [row[1] for row in rows]
    axes.plot(tokens, [row[2] for row in rows], color="#b9c4d0", linewidth=0.8, label="a batch")
    axes.plot(tokens, [row[3] for row in rows], color="#1f66c1", label="running mean")
    axes.set(yscale="log", xlabel="tokens, millions", ylabel="loss, nats")
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_yticks([], minor=True)
    axes.legend(frameon=False)


def _systems(axes: Axes) -> None:
    spreads = {system.name: system.spread for system in read(FULL).systems[::-1]}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    for place, spread in enumerate(known.values()):
        low, high = 100 * spread.low, 100 * spread.high
        axes.plot([low, high], [place, place], color="#1f66c1", alpha=0.4, linewidth=3)
        axes.plot(100 * spread.value, place, "o", color="#1f66c1", markersize=5)
        axes.plot(100 * (spread.lenient or 0.0), place, "o", color="#b7791f", fillstyle="none")
    base = list(known.values())[-1]
    axes.axvline(100 * base.value, color="#6b7480", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(known)), list(known))
    axes.set_xlabel("average score, % (open: right in any form)")


DRAWN: Mapping[str, tuple[Callable[[Axes], None], Path, tuple[float, float]]] = {
    "seedling-training": (_training, LOG, (6.4, 3.2)),
    "speed-growth": (speed.growth, speed.FILE, (6.4, 3.2)),
    "seedling-systems": (_systems, ROOT / "results" / f"{FULL}.json", (6.4, 3.8)),
}
"""Name of a figure -> what draws it, the file it is drawn from, its size in inches."""


def path(name: str) -> Path:
    """Return where a figure lies."""
    return FOLDER / f"{name}.svg"


def mark(name: str) -> str:
    """Return what a figure says of the data and the code it was drawn from."""
    _, source, _ = DRAWN[name]
    digest = hashlib.sha256(source.read_bytes() + Path(__file__).read_bytes())
    return f"drawn from {source.name} {digest.hexdigest()[:16]}"


def draw() -> None:
    """Draw the figures that are not up to date."""
    for name in DRAWN:
        if not path(name).exists() or mark(name) not in path(name).read_text("utf-8"):
            _draw(name)


def _draw(name: str) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    make, _, size = DRAWN[name]
    matplotlib.rcParams["svg.hashsalt"] = name
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    make(axes)
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(path(name), metadata={"Date": None, "Description": mark(name)})
