"""A finished run of a random base with systems of every kind, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

import selfmoe

COMPOSE = {
    "mixse": {"router": "topk", "options": {"max_steps": 1, "init_std": 1.0}},
    "prompt": {"router": "sequence", "options": {"max_steps": 1}},
    "ties": {"merge": "ties"},
    "mean": {"merge": "mean"},
}


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory, tiny_base_folder, plugin_code) -> Path:
    """Return the folder of the run; it is not changed."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    settings = {
        "base": str(tiny_base_folder),
        "out": str(folder / "run"),
        "plugin_dir": str(folder),
        "domains": ["anything", "whatever"],
        "seeds": {"n": 4},
        "brainstorm": {"n": 4, "batch_size": 4, "max_new_tokens": 16, "shots": 1},
        "respond": {"shots": 1, "max_new_tokens": 8},
        "specialise": {"options": {"max_steps": 3, "lr": 0.1}},
        "compose": COMPOSE,
        "evaluate": {"limit": 2, "base_shots": 0},
    }
    return selfmoe.run(settings).path
