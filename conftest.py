"""Distributions beside selfmoe are tested where they are installed (`make test` installs them)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

MISSING = [
    path.parents[1].name
    for path in Path(__file__).parent.glob("plugins/*-*/*/__init__.py")
    if path.parent.name != "tests" and find_spec(path.parent.name) is None
]
collect_ignore_glob = [f"plugins/{name}/*" for name in MISSING]


def pytest_report_header() -> str | None:
    """Say what is left out."""
    return f"not installed, not tested: {', '.join(MISSING)}" if MISSING else None
