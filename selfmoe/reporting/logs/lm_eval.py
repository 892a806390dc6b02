"""Sample logs of lm-eval 0.4, as ``--log_samples`` writes them: one row an item and filter.

https://github.com/EleutherAI/lm-evaluation-harness, ``loggers/evaluation_tracker.py``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.reporting.logs.items import Item, TaskLog

NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")

_NO_METRICS = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")
) | {"doc_hash", "prompt_hash", "target_hash"}


def is_row(row: Mapping[str, Any]) -> bool:
    """Return whether a row is one of lm-eval's."""
    return {"doc_id", "resps"} <= row.keys()


def read(path: Path, rows: Sequence[Mapping[str, Any]]) -> TaskLog:
    """Return what rows of a sample log say.

    Items are known by the hash of their document, which is the same whatever part of a task was
    asked; documents that are there several times also by their turn.

    Args:
        path: The file.
        rows: What it holds.

    Raises:
        DataError: If a row is none of lm-eval's.
    """
    items: dict[str, Item] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for number, row in enumerate(rows, start=1):
        if not is_row(row):
            raise DataError(f"{path}, row {number}: no sample of lm-eval, as the first rows are")
        which, about = str(row.get("filter", "none")), str(row.get("doc_hash") or row["doc_id"])
        seen[which, about] += 1
        item = items.setdefault(f"{about}#{seen[which, about]}", _item(row))
        suffix = "" if which == "none" else f",{which}"
        item.values.update({f"{metric}{suffix}": row[metric] for metric in _metrics(row)})
    told, match = _results(path), NAME.fullmatch(path.name)
    name = match["task"] if match else path.stem
    lower = {
        metric for metric, up in _of(told, "higher_is_better", name, {}).items() if up is False
    }
    named = {value for item in items.values() for value in item.values}
    return TaskLog(
        name=name,
        path=path,
        kind="lm-eval",
        items=items,
        shots=_of(told, "n-shot", name, None),
        lower=frozenset(value for value in named if value.partition(",")[0] in lower),
    )


def _item(row: Mapping[str, Any]) -> Item:
    prompt = row.get("prompt_hash") or json.dumps(row.get("arguments"), sort_keys=True)
    return Item(str(prompt), str(row.get("target_hash") or row.get("target")))


def _metrics(row: Mapping[str, Any]) -> list[str]:
    """Return the metrics of a row; older releases do not list them."""
    listed = row.get("metrics")
    names = row.keys() - _NO_METRICS if listed is None else listed
    return sorted(name for name in names if name in row)


def _results(path: Path) -> dict[str, Any]:
    """Return the results that lm-eval wrote beside a sample log; empty where there are none."""
    match = NAME.fullmatch(path.name)
    file = path.with_name(f"results_{match['date']}.json") if match else None
    try:
        found = json.loads(file.read_text("utf-8")) if file else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of(told: Mapping[str, Any], key: str, task: str, default: Any) -> Any:
    """Return what results say of a task."""
    section = told.get(key)
    found = section.get(task) if isinstance(section, dict) else None
    return found if isinstance(found, int | dict) else default
