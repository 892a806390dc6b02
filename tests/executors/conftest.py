"""A small run on a random base, to be done by one process and by several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SETTINGS: dict[str, Any] = {
    "domains": ["anything", "whatever"],
    "preset": "demo",
    "dtype": "float32",
    "device": "cpu",
    "seeds": {"n": 6},
    "brainstorm": {"n": 8, "batch_size": 4, "max_new_tokens": 16, "shots": 2},
    "respond": {"shots": 1, "max_new_tokens": 16, "batch_size": 4},
    "specialise": {"options": {"max_steps": 3, "batch_size": 2, "lr": 0.01, "r": 2}},
    "compose": {"mixse": {"router": "topk", "options": {"max_steps": 3, "batch_size": 2}}},
    "evaluate": {"limit": 4, "batch_size": 2, "base_shots": 0},
}


@pytest.fixture
def write_run(tmp_path: Path, tiny_base_folder: Path, plugin_code: str) -> Callable[..., Path]:
    """Return what writes a run file: ``write_run({"seed": 1}, code=…)``; beside it, its domains."""

    def write(changes: dict[str, Any] | None = None, code: str = plugin_code) -> Path:
        (tmp_path / "selfmoe_plugin.py").write_text(code)
        settings = {**SETTINGS, "base": str(tiny_base_folder), **(changes or {})}
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
        return tmp_path / "run.yaml"

    return write
