"""Runs that look finished, written by hand: whatever a report may have to show, in no time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Fake = Callable[..., Path]

SYSTEMS = {"base": "base", "base-5shot": "base", "mixse": "router", "ties": "merge"}
CONFIG = {
    "base": "seedling", "track": "mini", "preset": "demo", "seed": 0,
    "brainstorm": {"n": 12}, "evaluate": {"limit": 20}, "report": {"confidence": 0.95},
}  # fmt: skip


@pytest.fixture
def fake_run() -> Fake:
    """Return what writes a run: ``fake_run(folder, domains=…, seeds=…, …)``; see ``write_run``."""
    return write_run


def write_run(
    root: Path,
    *,
    domains: Sequence[str] = ("math", "coding"),
    systems: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0,),
    text: str = "Double 21.",
    lenient: float | None = 0.9,
    sick: str = "",
    non_target: str = "",
    missing: Mapping[str, str] | None = None,
    base: str = "seedling",
) -> Path:
    """Write a run directory with made-up scores and return it.

    Args:
        root: Where to.
        domains: Its domains; an expert each.
        systems: Name -> kind, experts left out.
        seeds: Root seeds.
        text: What prompts, reasons and answers say.
        lenient: Lenient score everywhere, or none.
        sick: A domain whose benchmark was not run.
        non_target: A domain whose benchmark is no target.
        missing: Cells that failed, with why; they are not written.
        base: Name of the base.
    """
    named = dict(SYSTEMS if systems is None else systems)
    for domain in domains if "base" in named and systems is None else ():
        named[f"expert-{domain}"] = "expert"
    cells: dict[str, dict[str, Any]] = {}
    for seed in seeds:
        cells[str(seed)] = {}
        made = _Maker(root, seed, cells[str(seed)], missing or {})
        for domain in domains:
            made.cell("curate", domain, **{"yield.json": _yield(text)})
            made.cell("specialise", domain, **{"training.json": _training(seed)})
        for name, kind in named.items():
            if kind in ("router", "merge"):
                facts = {"report": {"tokens": 900.0, "added_parameters": 64.0}}
                made.cell("compose", name, **{"composition.json": facts})
            for domain in domains:
                score = _score(named, name, domain, domains, seed)
                score |= {"lenient": lenient, "role": "target"}
                if domain == non_target:
                    score["role"] = "non-target"
                if domain == sick:
                    score |= {
                        "value": None,
                        "stderr": None,
                        "not_run": "no sandbox",
                        "lenient": None,
                    }
                files = {f"{_part(domain)}.mini.json": score}
                if kind == "router":
                    files[f"{_part(domain)}.mini.traces.jsonl"] = _trace(text, domains)
                made.cell("evaluate", f"{name}/{domain}/mini", **files)
    manifest = {
        "format": 1,
        "base": {"name": base, "hash": "0123456789"},
        "config": CONFIG
        | {"domains": list(domains), "seed": list(seeds) if seeds[1:] else seeds[0]},
        "versions": {"selfmoe": "0.1.0", "torch": "2.13.0"},
        "systems": named,
        "cells": cells,
        "missing": {str(seeds[0]): dict(missing)} if missing else {},
    }
    _write(root / "manifest.json", manifest)
    return root


class _Maker:
    """Writes the cells of one root seed and lists them."""

    def __init__(self, root: Path, seed: int, cells: dict[str, Any], missing: Mapping[str, str]):
        self.root, self.seed, self.cells, self.missing = root, seed, cells, missing

    def cell(self, stage: str, label: str, **files: Any) -> None:
        if f"{stage}/{label}" in self.missing:
            return
        path = f"{stage}/{len(self.cells)}@{self.seed}"
        self.cells[f"{stage}/{label}"] = {"key": f"{len(self.cells):010x}", "path": path}
        finished = f"2026-01-0{self.seed + 1}T12:00:00+00:00"
        _write(self.root / path / "cell.json", {"seconds": 1.5, "finished": finished, "files": {}})
        for name, value in files.items():
            _write(self.root / path / name, value)


def _part(name: str) -> str:
    """Return a name as a file can have it."""
    return name.replace("/", "_").replace("\0", "_")[:40]


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = value if path.suffix == ".jsonl" else [value]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _yield(text: str) -> dict[str, Any]:
    dropped = {"brainstorm": {text: 3}, "curate": {"duplicate": 1, "benchmark overlap": 2}}
    return {"written": 12, "instructions": 9, "kept": 6, "dropped": dropped}


def _training(seed: int) -> dict[str, Any]:
    losses = [2.0 / (step + 1) + seed / 10 for step in range(500)]
    return {"losses": losses, "examples": 6, "steps": 500, "tokens": 800, "trained_parameters": 64}


def _score(
    systems: Mapping[str, str], name: str, domain: str, domains: Sequence[str], seed: int
) -> dict[str, Any]:
    value = 0.3 if name == "base" else 0.6 + 0.05 * seed
    extra = {"shots_asked": 5, "shots_used": 4.5, "overflowed": 1, "template": "alpaca"}
    routing = None
    if systems[name] == "router":
        ahead = [3.0 if other == domain else 1.0 for other in domains]
        shares = dict(zip(domains, (part / sum(ahead) for part in ahead), strict=True))
        parts = ("all", "prompt", "response")
        mean = {part: [[0.9 * share for share in shares.values()]] * 3 for part in parts}
        routing = {"shares": dict.fromkeys(parts, shares), "mean": mean, "tokens": {}}
    return {
        "benchmark": f"{domain}/mini", "value": value, "stderr": 0.1, "n": 20, "not_run": None,
        "extra": {**extra, "sandbox": "bubblewrap"}, "routing": routing,
    }  # fmt: skip


def _trace(text: str, domains: Sequence[str]) -> list[dict[str, Any]]:
    tokens = ["Solve it:\n", text, "\n", "42", " ", text]
    weights = [
        [0.7 if i == n % len(domains) else 0.0 for i in range(len(domains))] for n in range(6)
    ]
    return [
        {
            "id": f"item-{number}", "score": 1.0, "cut": number, "prompt": 3,
            "experts": list(domains), "tokens": tokens, "weights": weights,
        }
        for number in range(2)
    ]  # fmt: skip
