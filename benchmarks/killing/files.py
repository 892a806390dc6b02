"""What two runs ended with, byte for byte, apart from what holds times by its nature.

Of these files, only times are left out: seals get none, the lock no number of a process, and the
report is made again of seals without times. All other files are compared as they are.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from selfmoe.reporting.report import write_report
from selfmoe.store.directory import LOCK
from selfmoe.store.files import SEAL, sha256, write_atomic, write_json

TIMES: Mapping[str, str] = {
    f"*/*@*/{SEAL}": "`seconds`, `cost`, `finished`: what the cell took, and when it was done",
    LOCK: "the number of the process that wrote last",
    "report/results.json": "`seconds`: how long the stages took",
    "report/index.html": "the same, and how long every fit took",
}
"""Files that hold times, or what changes like them, and what of them is left out."""
_NO_TIME = {"seconds": 0.0, "cost": {}, "finished": ""}
_REPORT = tuple(name for name in TIMES if name.startswith("report/"))


def holds_times(name: str) -> bool:
    """Return whether a file of a run holds times; its name is relative to the run's folder."""
    return any(fnmatch(name, pattern) for pattern in TIMES)


def contents(run: Path) -> dict[str, str]:
    """Return ``path -> sha256`` of all files of a run."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {path.relative_to(run).as_posix(): sha256(path) for path in files}


def timeless(run: Path) -> dict[str, str]:
    """Return the same of a run without its times; a page that is not of its own files has none."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(run, Path(place) / run.name))
        stale = _stale(copy)
        for seal in copy.glob(f"*/*@*/{SEAL}"):
            write_json(seal, json.loads(seal.read_text("utf-8")) | _NO_TIME)
        lock = (copy / LOCK).read_text("utf-8")
        write_atomic(copy / LOCK, re.sub(r"process \d+", "process", lock))
        _report(copy)
        return contents(copy) | dict.fromkeys(stale, f"stale in {run}")


def _stale(run: Path) -> list[str]:
    """Return the files of a report that become others when it is made again as it was."""
    before = contents(run)
    _report(run)
    after = contents(run)
    return [name for name in _REPORT if before.get(name) != after.get(name)]


def _report(run: Path) -> None:
    if (run / "report").exists():
        write_report(run, again=True)


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the names of files that only one of two runs has, or that are not the same."""
    names = sorted({*one, *other})
    return [name for name in names if one.get(name) != other.get(name)]
