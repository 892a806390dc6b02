"""Tables from the committed measurements of data that stays the same and of killed runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from _generate.markdown import code, table
from selfmoe.store.directory import CELL_FOLDERS

Json = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "results"
"""A file that is not there is not made yet."""

_INTRODUCTION = """\
## The same data at any speed

How many texts are read at once, and with how many threads, changes sums in their last bits. What a
row draws is its own, so a text changes only where that decides between two tokens: where two
logits, or a draw and the border of a token's part, are as near as rounding. The gap is how near
they are where a row parts from that of another setting.

"""
_REPORT = "report"
"""What a run is at when all its cells are done."""


def steady(file: Path = RESULTS / "steady.json") -> str:
    """Return how many rows are the same by batch size and threads; nothing if not measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    kinds = list(found["settings"][0]["kinds"])
    rows = (
        [
            *(str(row["batch"]), str(row["threads"])),
            *(_same(row["kinds"][kind]) for kind in kinds),
            _gaps(row["parted"]),
        ]
        for row in found["settings"]
    )
    head = ("batch", "threads", *kinds, "largest gap where others part")
    return f"{_INTRODUCTION}{table(head, rows)}\n{_conditions(found)}"


def _same(counts: Mapping[str, int]) -> str:
    return f"{counts['same']} of {counts['rows']}"


def _gaps(parted: Sequence[Json]) -> str:
    if not parted:
        return ""
    gaps = [one["gap"] for one in parted]
    return "no near tie" if None in gaps else f"{max(gaps):.1e}"


def _conditions(found: Json) -> str:
    first, bounds = found["settings"][0], found["bounds"]
    return (
        f"Base {code(found['run']['base'])}, preset {code(found['run']['preset'])}; compared with "
        f"batch {first['batch']} and {first['threads']} thread{'s' * (first['threads'] > 1)}, row "
        f"for row after the same prompt. {found['near']} of its {found['rows']} rows come within "
        f"{bounds['gap']:g} of another token somewhere. `{found['command']}` fails where less than "
        f"{100 * bounds['share']:g} % are the same, or where one parts at a gap above "
        f"{bounds['gap']:g}.\n"
    )


def kills(file: Path = RESULTS / "kills.json") -> str:
    """Return where runs were killed and how many files differ; nothing if not measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    stages = (*CELL_FOLDERS, _REPORT)
    names = [name for name in stages if any(name in run["stages"] for run in found["runs"])]
    head = ("base", "undisturbed", "kills", *names, "files", "differ")
    rows = (
        [
            *(code(run["base"]), f"{run['seconds']:.0f} s", str(run["kills"])),
            *(str(run["stages"].get(name, 0)) for name in names),
            *(str(run["files"]), str(len({n for some in run["differ"].values() for n in some}))),
        ]
        for run in found["runs"]
    )
    return f"{table(head, rows)}\n{''.join(_left_out(found))}"


def worker_kills(file: Path = RESULTS / "worker-kills.json") -> str:
    """Return what killing workers cost; nothing if not measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    head = ("executor", "workers", "undisturbed", "runs", "kills", "done again", "made twice")
    rows = (
        [
            *(code(row["executor"]), str(row["workers"]), f"{row['seconds']:.0f} s"),
            *(str(row["runs"]), str(row["kills"]), str(row["told"]), str(len(row["made_again"]))),
            *(str(row["files"]), str(len({n for some in row["differ"].values() for n in some}))),
        ]
        for row in found["executors"]
    )
    made = f"`{found['command']}` makes `results/worker-kills.json`."
    return (
        f"{table((*head, 'files', 'differ'), rows)}\n"
        f"One process takes {found['seconds']:.0f} s here, beside other work. {made}\n"
    )


def demo_by_workers(file: Path = RESULTS / "worker-demo.json") -> str:
    """Return whether the demo is the same by an executor's workers; nothing if not measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    rows = "".join(
        f"The preset demo by {row['workers']} workers of {code(row['executor'])}: of its "
        f"{row['files']} files {len(row['differ'].get('undisturbed', ()))} differ from those of "
        f"one process, times aside; it took {row['seconds']:.0f} s, one process "
        f"{found['seconds']:.0f} s, both beside other work.\n"
        for row in found["executors"]
    )
    made = f"`{found['command']}` makes `results/worker-demo.json`"
    return f"{rows}{made}; `results/README.md` has all options.\n"


def _left_out(found: Json) -> Iterator[str]:
    yield "Files that hold times are compared without them, all others as they are:\n\n"
    for name, what in found["left_out"].items():
        yield f"- {code(name)}: {what}\n"
    yield f"\n`{found['command']}` makes `results/kills.json`.\n"
