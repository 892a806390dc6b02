"""The tables of exports that other programs have loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "results"
LOGITS, TOKENS = ("logits", "left_padded", "cached"), ("greedy", "beams")


def models() -> str:
    """Return how far exported mixtures are from the systems, by transformers and base."""
    found = _read("exported.json")
    rows = [
        (version, code(base), ", ".join(routers), *_numbers(told))
        for base, of_base in found.get("mixtures", {}).items()
        for version, (routers, told) in _by_version(of_base).items()
    ]
    head = ("transformers", "base", "routers", "logits", "left-padded", "cached", "greedy", "beams")
    return table(head, sorted(rows, key=lambda row: row[1])) if rows else ""


def _by_version(of_base: Json) -> dict[str, tuple[list[str], list[Json]]]:
    found: dict[str, tuple[list[str], list[Json]]] = {}
    for router, answers in of_base.items():
        for told in answers:
            routers, all_told = found.setdefault(told["transformers"], ([], []))
            routers.append(router)
            all_told.append(told)
    return found


def _numbers(told: list[Json]) -> list[str]:
    """Return the largest differences, and of how many rows of tokens all are equal.

    Where a row of greedy search is not, how near to each other the two best logits were there.
    """
    apart = [f"{max(one[name] for one in told):.1e}" for name in LOGITS]
    equal = [[one[name] for one in told] for name in TOKENS]
    greedy, beams = (f"{sum(a for a, _ in p)} of {sum(b for _, b in p)}" for p in equal)
    ties = [gap for one in told for gap in one["gaps_where_not"]]
    near = f"; {', '.join(f'{gap:.1e}' for gap in ties)}" if ties else ""
    return [*apart, greedy + near, beams]


def adapters() -> str:
    """Return how far exported adapters are from their expert in mlx-lm and llama.cpp."""
    found = _read("exported-adapters.json")
    names = {"mlx": "mlx-lm", "gguf": "llama.cpp (xllamacpp)"}
    rows = [
        (f"{names[form]} {row['version']}", code(row["family"]), *_apart(row))
        for form in names
        for row in found.get(form, [])
    ]
    return table(("program", "base", "the base alone", "with the adapter"), rows) if rows else ""


def _apart(row: Json) -> tuple[str, str]:
    return f"{row['base']:.1e}", f"{row['expert']:.1e}"


def _read(name: str) -> Json:
    """Return what a file of results holds; nothing where it was not made yet."""
    file = RESULTS / name
    found: Json = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return found
