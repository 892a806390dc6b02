"""A run by two workers of Ray has the files of one by its own process; skipped without Ray."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from selfmoe.api import run as api
from selfmoe.config.layers import merge
from selfmoe.reporting.terminal.progress import Display
from selfmoe.testing.models import save_toy_base

ray = pytest.importorskip("ray")

PLUGIN = """
from selfmoe import hookimpl
from selfmoe.testing import ToyDomain

SELFMOE_API = 1


@hookimpl
def register_domains():
    return [ToyDomain]
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return settings of a small run whose expert learns from its seeds."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "selfmoe_plugin.py").write_text(PLUGIN)
    return {
        "base": str(save_toy_base(folder / "base")),
        "plugin_dir": str(folder),
        "domains": ["toy"],
        "preset": "demo",
        "dtype": "float32",
        "device": "cpu",
        "seeds": {"n": 6},
        "curate": {"data": "seeds"},
        "specialise": {"options": {"max_steps": 2, "batch_size": 2, "r": 2}},
        "compose": {"ties": {"merge": "ties"}},
        "evaluate": {"limit": 3, "batch_size": 3, "base_shots": 0},
    }


def made(settings: dict[str, Any], out: Path, **changes: Any) -> tuple[dict[str, bytes], str]:
    """Return the files of a run, seals aside, which hold times, and what it said."""
    stream = StringIO()
    display = Display(Console(file=stream, width=500))
    api.run(merge(settings, {"out": str(out)}, changes), display=display)
    files = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.glob("*/*@*/**/*"))
        if path.is_file() and path.name != "cell.json"
    }
    return files, stream.getvalue()


def test_the_files_are_those_of_one_process(settings: dict[str, Any], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    one, _ = made(settings, tmp_path / "one")
    by_ray = {"executor": "ray", "options": {"workers": 2}}
    two, said = made(settings, tmp_path / "two", execute=by_ray)
    assert one == two
    assert "compose ties (1 expert) done" in said
    assert not ray.is_initialized()


def test_a_cluster_that_is_not_there_is_one_error(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfmoe.contracts import StageError

    def absent(**how: Any) -> None:
        raise ConnectionError("nobody answers\nand more")

    monkeypatch.setattr(ray, "init", absent)
    elsewhere = {"executor": "ray", "options": {"address": "127.0.0.1:1"}}
    with pytest.raises(StageError, match=r"^no Ray at 127\.0\.0\.1:1: nobody answers\n"):
        made(settings, tmp_path / "run", execute=elsewhere)
