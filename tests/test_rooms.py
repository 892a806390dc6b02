"""The floor plan: rooms in order, no circle, small files, short functions."""

from __future__ import annotations

import ast
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "selfmoe"
CODE = [ENGINE, *(ROOT / name for name in ("domains", "routers", "plugins"))]
LINTER = Path(sys.executable).with_name("lint-imports")


def modules(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            if not {"tests", "build"} & set(path.relative_to(folder).parts):
                yield path


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Hold the engine in a folder against the rules of pyproject.toml."""
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"}
    command = [str(LINTER), "--no-cache", str(ROOT / "pyproject.toml")]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def test_rooms_import_only_rooms_below_and_nothing_runs_in_a_circle():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Return a copy of the engine's code, to be spoilt."""
    ignored = shutil.ignore_patterns("__pycache__", "templates")
    return Path(shutil.copytree(ENGINE, tmp_path / "selfmoe", ignore=ignored))


@pytest.mark.parametrize(
    "line",
    [
        "from selfmoe.cli.app import cli",
        "if TYPE_CHECKING:\n    from selfmoe.cli.app import cli",
        "def late():\n    from selfmoe.cli.app import cli",
    ],
)
def test_an_import_upward_is_named_with_its_line(engine: Path, line: str):
    path = engine / "contracts" / "errors.py"
    text = path.read_text("utf-8")
    path.write_text(f"{text}\n{line}\n", "utf-8")
    place = text.count("\n") + 1 + line.count("\n") + 1
    done = lint(engine.parent)
    assert done.returncode == 1
    assert f"selfmoe.contracts.errors -> selfmoe.cli.app (l.{place})" in done.stdout


def test_a_circle_is_named(engine: Path):
    path = engine / "contracts" / "errors.py"
    path.write_text(path.read_text("utf-8") + "\nfrom selfmoe.contracts import paths\n", "utf-8")
    done = lint(engine.parent)
    assert done.returncode == 1
    assert "No cycles are allowed in selfmoe.contracts" in done.stdout


def test_there_are_at_most_fourteen_rooms():
    rooms = [path for path in ENGINE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(rooms) <= 14
    beside = {path.name for path in ENGINE.iterdir() if path.is_file()}
    assert beside == {"__init__.py", "__init__.pyi", "__main__.py", "py.typed"}


def test_no_file_is_long():
    counts = {path: path.read_text("utf-8").count("\n") for path in modules(*CODE)}
    assert {str(path): count for path, count in counts.items() if count > 300} == {}


def test_functions_are_short():
    """Docstrings and signatures counted."""
    lines = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for path in modules(*CODE)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert statistics.median(lines) <= 7
    assert lines[int(0.9 * len(lines))] <= 20
