"""What a real LLM keeps of other abilities, and its scores beside lm-eval's own, as measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "results"


def retention() -> str:
    """Return the scores of systems on what nothing was trained on, and what they lost."""
    found = _read("smollm2-retention.json")
    if not found:
        return ""
    parts = [key for key in found["systems"][0] if key != "system"]
    rows = [(code(row["system"]), *(_kept(row[key]) for key in parts)) for row in found["systems"]]
    sizes = ", ".join(f"{found['systems'][0][key]['n']} of {key}" for key in parts[:-1])
    seeds = ", ".join(map(str, found["seeds"]))
    which = "root seed" if len(found["seeds"]) == 1 else "root seeds"
    made = f"Items: {sizes}; {which} {seeds} (`results/smollm2-retention.json`)."
    return f"{table(('system', *parts), rows)}\n{made}\n"


def cross_check() -> str:
    """Return how many items lm-eval's own tasks score alike."""
    found = _read("smollm2-cross-check.json")
    if not found:
        return ""
    rows = [
        (
            code(row["system"]),
            row["benchmark"],
            *(f"{100 * row[by]:.1f}" for by in ("selfmoe", "lm-eval")),
            *(f"{row[key]} of {row['items']}" for key in ("same", "same_texts")),
        )
        for row in found["rows"]
    ]
    return table(("system", "task", "selfmoe", "lm-eval", "same score", "same text"), rows)


def _kept(cell: Json) -> str:
    score, less = f"{100 * cell['score']:.1f}", cell["less_base"]
    if less is None:
        return score
    low, difference, high = (_signed(less[key]) for key in ("low", "difference", "high"))
    return f"{score} ({difference} [{low}, {high}])"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _read(name: str) -> Json:
    """Return what was measured; nothing if it was not yet."""
    path = RESULTS / name
    found: Json = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found
