"""A whole run by the build that an interpreter has."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_RUN = "import sys; from selfmoe.cli import main; sys.exit(main())"


def run_by(python: str, out: Path, preset: str, threads: int, *flags: str) -> Json:
    """Make a run, or go on with it.

    Args:
        python: The interpreter.
        out: The run's folder, in one that no other build can be imported from.
        preset: What is run.
        threads: Of torch.
        flags: More of `selfmoe run`.

    Returns:
        ``cpu`` and ``wall``: the seconds of CPU of all its processes, and those of waiting.

    Raises:
        RuntimeError: If it fails; holds the end of what it said.
    """
    fixed = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as said:
        start = time.monotonic()
        process = subprocess.Popen(
            [python, "-c", _RUN, "run", "--preset", preset, "--out", out.name, *flags],
            cwd=out.parent,
            env=os.environ | fixed,
            stdout=said,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall, process.returncode = time.monotonic() - start, os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{python}:\n{said.read()[-2000:]}")
    return {"cpu": round(used.ru_utime + used.ru_stime, 2), "wall": round(wall, 2)}
