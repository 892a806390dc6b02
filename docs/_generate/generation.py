"""Tables from the committed measurements of generation and evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _generate.markdown import table

Json = dict[str, Any]
FILE = Path(__file__).parents[2] / "results" / "generation.json"
"""Not made yet where there is no such file."""

_FORMER = "former"
_OURS = ("this", "this, auto")
_PARTS = ("whole", "prefill", "decode")
_INTRODUCTION = """\
## Generation and evaluation

How many times as fast texts are written and benchmarks asked as by the build of commit
`{former}`: CPU time of the two in the same round, each in a process of its own, loading left out;
the median of the rounds and, in brackets, the quartiles where there are several. *Brainstorm*
samples, so its ratios are of time per token. *Prefill* is the time of the forwards that read
several tokens a row, *decode* the rest. *This, auto* computes in bfloat16, all others in float32.
*The same* are prompts that a system goes on with token for token, or items it answers, as the
former build does.
"""
_OTHERS = """\
`generate` is that of transformers on batches in the order of the prompts, with the same stop
strings; `generate_batch`, its continuous batching, knows none and goes on to the limit, so its
ratios, too, are of time per token.
"""


def section(file: Path = FILE) -> str:
    """Return the part of the page about generation; nothing where nothing is measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    parts = [
        _INTRODUCTION.format(former=found["former"]),
        _OTHERS if set(_names(found["written"])) - {_FORMER, *_OURS} else "",
        *_of_systems(found["written"], found["sums"]),
        _parts(found["written"]),
        _evaluations(found["asked"]),
        _conditions(found),
    ]
    return "\n".join(part for part in parts if part)


def _of_systems(written: Sequence[Json], sums: Sequence[Json]) -> list[str]:
    """Return a table of every system's speed, a row a workload, the sum of each base last."""
    rows = [*written, *sums]
    places = dict.fromkeys((row["base"], row["threads"]) for row in rows)
    ordered = [row for place in places for row in rows if (row["base"], row["threads"]) == place]
    names = [name for name in _names(ordered) if name != _FORMER]
    head = ("workload", "base", "threads", "prompts", *names)
    return [table(head, ([*_place(row), *_cells(row, names)] for row in ordered))] if rows else []


def _names(rows: Iterable[Json]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["systems"]))


def _place(row: Json) -> list[str]:
    return [row["title"], row["base"], str(row["threads"]), str(row.get("prompts", ""))]


def _cells(row: Json, names: Sequence[str]) -> list[str]:
    systems = row["systems"]
    return [_ratio(systems[name]["whole"]) if name in systems else "" for name in names]


def _ratio(found: Mapping[str, float]) -> str:
    spread = f" ({found['low']:.2f}–{found['high']:.2f})" if found["low"] < found["high"] else ""
    return f"{found['ratio']:.2f}{spread}"


def _parts(written: Sequence[Json]) -> str:
    """Return a table of where this build's time is saved."""
    head = ("workload", "base", "threads", "prompts", "system", *_PARTS, "tokens", "the same")
    found = [(row, name) for row in written for name in _OURS if name in row["systems"]]
    return table(head, ([*_place(one[0]), *_detail(*one)] for one in found)) if found else ""


def _detail(row: Json, name: str) -> list[str]:
    mine, former = row["systems"][name], row["systems"][_FORMER]
    same = "sampled" if row["sampled"] else f"{mine['same']} of {row['prompts']}"
    counts = f"{mine['tokens']:.0f}, former {former['tokens']:.0f}"
    return [name, *(_ratio(mine[part]) for part in _PARTS), counts, same]


def _evaluations(asked: Sequence[Json]) -> str:
    """Return a table of benchmarks."""
    head = ("benchmark", "base", "threads", "items", "system", "ratio", "score", "the same")
    rows = (
        [
            *(row["title"], row["base"], str(row["threads"]), str(row["items"]), name),
            _ratio(found["whole"]),
            f"{100 * found['score']:.2f} %",
            f"{found['same']} of {row['items']}",
        ]
        for row in asked
        for name, found in row["systems"].items()
        if name in _OURS
    )
    return table(head, rows) if asked else ""


def _conditions(found: Json) -> str:
    wanted = ("torch", "transformers", "lm-eval")
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in wanted)
    able = found["bfloat16"]
    said = f"multiplies in bfloat16 ({able})" if able else "does not multiply in bfloat16"
    counts = sorted({row["rounds"] for row in [*found["written"], *found["asked"]]})
    rounds = " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]])))
    return (
        f"Measured on an {found['processor']} processor, which {said}, rounds: {rounds}, "
        f"with {versions}. `{found['command']}` makes `results/generation.json`; "
        "`results/README.md` has all options.\n"
    )
