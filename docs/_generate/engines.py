"""The tables of mixtures in vLLM and llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _generate.markdown import code, table

Json = dict[str, Any]
OWN = "base, vLLM's own class"
RESULTS = Path(__file__).parents[2] / "results"


def in_vllm() -> str:
    """Return how many greedy answers of each router are the same in vLLM."""
    rows = [
        (base, code(system), _equal(told))
        for base, found in _read("vllm.json").get("bases", {}).items()
        for system, told in found["systems"].items()
    ]
    return table(("base", "system", "greedy answers equal"), rows) if rows else ""


def scores_in_vllm() -> str:
    """Return the scores of vLLM's answers beside those of the run."""
    rows = [
        (base, name, str(told["items"]), _score(told), f"{100 * told['there']:.1f}")
        for base, found in _read("vllm.json").get("bases", {}).items()
        for name, told in found["scores"].items()
    ]
    return table(("base", "benchmark", "items", "the run", "vLLM"), rows) if rows else ""


def speed_in_vllm() -> str:
    """Return how fast mixture and base are in vLLM, side by side."""
    rows = [
        (base, batch, what, *_speeds(told[what]))
        for base, found in _read("vllm.json").get("bases", {}).items()
        for batch, told in found["speed"].items()
        for what in ("prefill", "decode")
    ]
    head = ("base", "batch", "what", "mixture", "base", "ratio", "base, vLLM's own class")
    return table(head, rows) if rows else ""


def in_llama() -> str:
    """Return how near a router by prompt on llama.cpp's server is to the system itself."""
    found = _read("llamacpp.json")
    rows = [
        (code(name), f"{told['weights_apart']:.0e}", _equal(told), _cost(told))
        for name, told in found.get("systems", {}).items()
    ]
    head = ("system", "weights apart", "greedy answers equal", "deciding, a prompt")
    return table(head, rows) if rows else ""


def _equal(told: Json) -> str:
    return (
        f"refused: {told['refused']}" if "refused" in told else f"{told['equal']} of {told['of']}"
    )


def _score(told: Json) -> str:
    low, high = (100 * end for end in told["interval"])
    return f"{100 * told['here']:.1f} [{low:.1f}, {high:.1f}]"


def _speeds(told: Json) -> tuple[str, str, str, str]:
    low, high = min(told["ratios"]), max(told["ratios"])
    ratio = f"{told['ratio']:.2f} ({low:.2f} to {high:.2f})"
    mixture, base, own = (f"{told[name]:.0f}" for name in ("mixture", "base", OWN))
    return mixture, base, ratio, own


def _cost(told: Json) -> str:
    return f"{told['milliseconds_to_decide']:.1f} ms"


def _read(name: str) -> Json:
    """Return what a file of results holds; nothing where it was not made yet."""
    file = RESULTS / name
    found: Json = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return found
