"""Tables and a figure from the committed measurements of speed and memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _generate.markdown import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = Path(__file__).parents[2] / "results" / "speed.json"
MANY = FILE.with_name("many-experts.json")
DECODING = FILE.with_name("many-decoding.json")
_GROWTH = "growth, "
_ROWS = ("twin", "selfmoe", "PEFT LoRA", "PEFT several", "PEFT Arrow", "PEFT X-LoRA")


def read(file: Path = FILE) -> dict[str, Any]:
    """Return the measurements."""
    results: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return results


def ratios() -> str:
    """Return each system's CPU time relative to the bare base, one row a workload."""
    rows = [row for row in read()["measurements"] if not row["title"].startswith(_GROWTH)]
    head = ("workload", "hidden", "n", *(name for name in _ROWS))
    return table(head, (_workload(row) for row in rows))


def many(file: Path = MANY) -> str:
    """Return what many experts cost, with the native operator and without, if it was measured."""
    if not file.exists():
        return ""
    names, rows = ("twin", "selfmoe", "selfmoe, torch"), read(file)["measurements"]
    head = ("workload", "hidden", "n", "twin", "with the native operator", "without")
    shown = table(head, (_workload(row, names) for row in rows))
    return f"{shown}\n{_most(file)}{conditions(file)}"


def _most(file: Path) -> str:
    """Return what the most experts need besides, as a paragraph, if it was measured."""
    most = read(file).get("most")
    if most is None:
        return ""
    memory, choosing = most["memory"], most["choosing"]
    held = {name: memory[name]["anonymous"] for name in ("base", "selfmoe")}
    files = {name: memory[name]["files"] for name in ("base", "selfmoe")}
    joining = ", ".join(
        f"{whole['whole']:.1f} s beside {int(n) - 1} others ({whole['checked']:.1f} s of them to "
        "check these)"
        for n, whole in most["joining"].items()
    )
    return (
        f"With {most['n']} experts a process that has read prompts and written holds "
        f"{held['selfmoe']:.0f} MB of anonymous memory, the base alone {held['base']:.0f} MB; the "
        f"live experts weigh {memory['live']:.0f} MB. Pages of mapped files beside it: "
        f"{files['selfmoe']:.0f} MB and {files['base']:.0f} MB. Choosing among them takes "
        f"{choosing['median']:.2f} ms a prompt ({choosing['low']:.2f}–{choosing['high']:.2f}), "
        f"its embedding not counted. One more joins in {joining}.\n\n"
    )


def _workload(row: dict[str, Any], names: Sequence[str] = _ROWS) -> tuple[str, ...]:
    systems = row["systems"]
    title = row["title"] if row["counts"] else f"{row['title']} (noise floor off by over 2 %)"
    cells = [_ratio(systems[name]) if name in systems else "" for name in names]
    return (title, str(row["hidden"]), str(row["n"]), *cells)


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f} ({row['low']:.2f}–{row['high']:.2f})"


def memory() -> str:
    """Return the memory of a forward beyond the loaded model, one row a system."""
    spaces = read()["memory"]
    names: Sequence[str] = list(spaces[0]["systems"])
    head = ("system", *(f"n = {space['n']}" for space in spaces))
    return table(head, ((name, *(_space(s, name) for s in spaces)) for name in names))


def _space(space: dict[str, Any], name: str) -> str:
    row, base = space["systems"][name], space["systems"]["base"]
    share = 100 * (row["extra"] / base["extra"] - 1)
    more = "" if name == "base" else f", {share:+.0f} %"
    return f"{row['extra']:.0f} MB ({row['low']:.0f}–{row['high']:.0f}){more}"


def kernels() -> str:
    """Return which kernel is chosen when, as the kernels' own package says it."""
    from selfmoe.mixture.forward import kernels as package

    _, _, text = (package.__doc__ or "").partition("\n\n")
    return text.rpartition("\n\nA kernel is")[0] + "\n"


def conditions(file: Path = FILE) -> str:
    """Return on what and how it was measured, as a paragraph."""
    results = read(file)
    tries = sum(len(row["discarded"]) for row in results["measurements"])
    rounds = min(row["rounds"] for row in results["measurements"])
    wanted = ("torch", "transformers", "peft")
    versions = ", ".join(f"{name} {results['versions'][name]}" for name in wanted)
    loud = sum(not row["counts"] for row in results["measurements"])
    named = f"{results['processor'].removesuffix(' Processor')} processor"
    still = f" {loud} of them had none within 2 % and are marked." if loud else ""
    return (
        f"Measured on an {named}, one thread, {rounds} rounds or more, "
        f"with {versions}; {tries} measurements were discarded for their noise floor and made "
        f"again.{still} `{results['command']}` makes `results/{file.name}`.\n"
    )


def growth(axes: Axes) -> None:
    """Draw the cost of n experts."""
    rows = [row for row in read()["measurements"] if row["title"].startswith(_GROWTH)]
    for title, colour in (("prefill", "#1f66c1"), ("decode", "#b7791f")):
        mine = [row for row in rows if row["title"] == _GROWTH + title]
        points = [row["systems"]["selfmoe"] for row in mine]
        n = [row["n"] for row in mine]
        axes.plot(n, [point["ratio"] for point in points], "o-", color=colour, label=title)
        low, high = ([point[end] for point in points] for end in ("low", "high"))
        axes.fill_between(n, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.axhline(1, color="#6b7480", linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="experts", ylabel="CPU time relative to the base")
    axes.set_xticks(n, [str(number) for number in n])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False)
