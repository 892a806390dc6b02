"""Tables from the committed measurements of training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from _generate.markdown import table

Json = dict[str, Any]
FILE = Path(__file__).parents[2] / "results" / "training.json"
"""Not made yet where there is no such file."""

_INTRODUCTION = """\
## Training

What training an expert and fitting the router topk cost beside the build of commit `{commit}`: CPU
time of both in the same round, each in a process of its own, loading left out; the median of the
rounds and, in brackets, the quartiles. *Memory* is the peak beyond what was there before the fit.
All learn from the same batches; how far their losses are apart at the most is relative.
"""


def section(file: Path = FILE) -> str:
    """Return the part of the page about training; nothing where nothing is measured yet."""
    if not file.exists():
        return ""
    found: Json = json.loads(file.read_text("utf-8"))
    head = ("fit", "system", "time", "memory", "seconds", "MB", "losses apart")
    rows = (row for fit in found["fits"] for row in _rows(fit))
    return "\n".join([_INTRODUCTION.format(**found), table(head, rows), _against(found)])


def _rows(fit: Json) -> Iterator[list[str]]:
    title = f"{fit['title']}, {_threads(fit['threads'])}"
    for name, row in fit["systems"].items():
        memory = row["memory"]
        yield [
            *(title, name, _ratio(row), f"{memory['ratio']:.2f}"),
            *(f"{row['seconds']:.1f}", f"{memory['extra']:.0f}", f"{row['losses_apart']:.0e}"),
        ]


def _threads(number: int) -> str:
    return "one thread" if number == 1 else f"{number} threads"


def _ratio(found: Mapping[str, float]) -> str:
    return f"{found['ratio']:.2f} ({found['low']:.2f}–{found['high']:.2f})"


def _against(found: Json) -> str:
    """Return what tables do not hold: ratios to PEFT, vocabularies, and how it was measured."""
    said = [
        f"Training an expert takes {_ratio(row['against_reference'])} of the time of PEFT with the "
        f"Trainer ({_threads(fit['threads'])})."
        for fit in found["fits"]
        for row in fit["systems"].values()
        if "against_reference" in row
    ]
    large = max(found["vocabularies"], key=int)
    ratio = found["vocabularies"][large]["ratio"]
    said.append(
        f"A toy with a vocabulary of {int(large):,} needs {ratio:.2f} of the memory, beyond its "
        f"weights, of one with a vocabulary of {int(min(found['vocabularies'], key=int)):,}."
    )
    versions = ", ".join(f"{n} {found['versions'][n]}" for n in ("torch", "transformers", "peft"))
    said.append(
        f"{found['base']} in float32, {found['batch']} examples a step of at most "
        f"{found['longest']} tokens; an {found['processor']} processor, {found['rounds']} rounds, "
        f"with {versions}. `{found['command']}` makes `results/training.json`."
    )
    return " ".join(said) + "\n"
