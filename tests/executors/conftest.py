"""A small run on a random base, to be done by one process and by several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHANGES: dict[str, Any] = {
    "device": "cpu",
    "compose": {"mixse": {"router": "topk", "options": {"max_steps": 3, "batch_size": 2}}},
    "evaluate": {"limit": 4, "batch_size": 2, "base_shots": 0},
}


@pytest.fixture
def write_run(
    tmp_path: Path, plugin_code: str, write_small_run: Callable[..., Path]
) -> Callable[..., Path]:
    """Return what writes a run file: ``write_run({"seed": 1}, code=…)``; beside it, its domains."""

    def write(changes: dict[str, Any] | None = None, code: str = plugin_code) -> Path:
        return write_small_run(tmp_path, CHANGES | (changes or {}), code)

    return write
