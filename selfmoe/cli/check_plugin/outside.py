"""Asking an entry point in a process of its own, and reading what became of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfmoe.cli.check_plugin.target import Point, Target
from selfmoe.cli.findings import Finding

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "SYSTEMROOT")
KEPT_PREFIXES = ("LC_", "PYTHON", "VIRTUAL_ENV", "CONDA_", "SELFMOE_PLUGINS")
"""Variables that the process gets; no token or key of the user's is among them."""

DOING = {
    "": "before it was imported",
    "import": "while it was imported",
    "hooks": "while its hooks were asked",
}
SHOWN = 120
"""Characters shown of what a plugin prints."""


@dataclass
class Outcome:
    """What one entry point said.

    Attributes:
        name: Of the entry point.
        stage: The last step it began.
        printed: Bytes on standard output before the last step began.
        components: Kind and name of what it provides.
        findings: What is right and wrong with it.
    """

    name: str
    stage: str = ""
    printed: int | None = None
    components: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def ask(point: Point, target: Target, timeout_s: float) -> Outcome:
    """Return what an entry point says when it is imported elsewhere."""
    with tempfile.TemporaryDirectory(prefix="selfmoe-check-") as name:
        folder = Path(name)
        report = folder / "report"
        report.touch()
        command = [sys.executable, "-m", "selfmoe.cli.check_plugin.probe", str(report)]
        command += [point.name, point.value, target.distribution]
        code = _run(command, folder, _environment(target), timeout_s)
        outcome = _read(point, report)
        errors = (folder / "err").read_text("utf-8", "replace")
        outcome.findings += _ending(outcome, code, timeout_s, errors)
        outcome.findings += _prints(outcome, (folder / "out").read_bytes())
    return outcome


def _environment(target: Target) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(KEPT_PREFIXES)}
    paths = [*map(str, target.paths), *(path for path in sys.path if path)]
    offline = {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **offline, "PYTHONPATH": os.pathsep.join(paths)}


def _run(
    command: list[str], folder: Path, environment: dict[str, str], timeout_s: float
) -> int | None:
    """Return the exit code of a process, or ``None`` if it was ended for taking too long."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)
            process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and whatever it started where the system has groups of processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _read(point: Point, report: Path) -> Outcome:
    outcome = Outcome(point.name)
    for line in report.read_text("utf-8").splitlines():
        facts: dict[str, Any] = json.loads(line)
        outcome.stage = facts.get("stage", outcome.stage)
        outcome.printed = facts.get("printed", outcome.printed)
        outcome.components += [(kind, name) for kind, name in facts.get("components", ())]
        outcome.findings += [Finding(**finding) for finding in facts.get("findings", ())]
    return outcome


def _ending(outcome: Outcome, code: int | None, timeout_s: float, errors: str) -> list[Finding]:
    """Return what is to be said about how the process ended."""
    if outcome.stage == "done":
        if code is not None:
            return []
        found = f"{outcome.name} keeps the process from ending"
        return [Finding("import", found, "problem", "Start no threads when it is loaded.")]
    if outcome.stage == "others":
        how = "took too long" if code is None else "ended the process"
        found = f"its names were not compared with those of other plugins: one of them {how}"
        return [Finding("components", found, "note", "Limit them with SELFMOE_PLUGINS=a,b.")]
    doing = DOING[outcome.stage]
    if code is None:
        found = f"{outcome.name} was not done after {timeout_s:g} s, {doing}"
        advice = "Do no work when it is loaded; methods may take their time."
    else:
        found = f"{outcome.name} ended the process {doing}: {_code(code)}{_last(errors)}"
        advice = "Do not call os._exit; look for libraries that crash when they are imported."
    return [Finding("import", found, "problem", advice)]


def _code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}, as by os._exit({code})"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _last(errors: str) -> str:
    lines = errors.strip().splitlines()
    return f"; it last said: {lines[-1][:SHOWN]}" if lines else ""


def _prints(outcome: Outcome, printed: bytes) -> list[Finding]:
    text = " ".join(printed[: outcome.printed].decode("utf-8", "replace").split())
    if not text:
        return []
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    found = f"{outcome.name} prints when it is loaded: {shown}"
    return [Finding("output", found, "note", "Use logging; standard output is for results.")]
