"""Checking that a module can be imported without the heavy libraries."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = ("torch", "transformers", "peft", "datasets", "lm_eval")
"""What an entry-point module must not import."""

_BLOCKED = """
import sys
for name in sys.argv[2].split(","):
    sys.modules[name] = None
__import__(sys.argv[1])
"""


def assert_light(module: str) -> None:
    """Fail if importing ``module`` in a fresh interpreter imports any of ``HEAVY``."""
    command = [sys.executable, "-c", _BLOCKED, module, ",".join(HEAVY)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
