"""Checking that a module can be imported without the heavy libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

from selfmoe.contracts.hookspecs import HEAVY

_BLOCKED = """
import sys
for name in sys.argv[2].split(","):
    sys.modules[name] = None
__import__(sys.argv[1])
"""


def assert_light(module: str) -> None:
    """Fail if importing ``module`` in a fresh interpreter imports any of ``HEAVY``."""
    problem = _problem(module, os.pathsep.join(sys.path))
    assert not problem, problem


@cache  # a module with many components is imported once
def _problem(module: str, path: str) -> str:
    """Return what a fresh interpreter says of importing a module; empty if it can."""
    command = [sys.executable, "-c", _BLOCKED, module, ",".join(HEAVY)]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""
