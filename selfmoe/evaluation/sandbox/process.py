"""One supervised attempt: start the driver, listen to it, end it, whatever the program does."""

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selfmoe.evaluation.sandbox import tiers
from selfmoe.evaluation.sandbox.driver import STARTED

START_S = 10.0
RETRIES = 3
MAX_OUTPUT = 1 << 16

Status = Literal["passed", "failed", "timeout", "infra_error"]


@dataclass(frozen=True)
class Verdict:
    """What became of one program.

    Attributes:
        status: ``passed``, ``failed``, ``timeout``, or ``infra_error`` if it was never started.
        tier: Where it ran: one of ``TIERS``, ``unsafe`` or ``none``.
        detail: Why it did not pass, in one printable line; empty if it passed. After a failure
            this is the program's own exception: do not trust it.
    """

    status: Status
    tier: str
    detail: str = ""


def execute(tier: str, program: str, timeout_s: float) -> Verdict:
    """The verdict on ``program`` in ``tier``, tried again while the sandbox itself fails."""
    if os.name != "posix":
        return Verdict("infra_error", tier, f"programs are not run on {sys.platform}")
    for attempt in range(RETRIES + 1):
        if attempt:
            time.sleep(0.05 * 2**attempt)
        verdict = _attempt(tier, program, timeout_s)
        if verdict.status != "infra_error":
            break
    return verdict


def _attempt(tier: str, program: str, timeout_s: float) -> Verdict:
    token = secrets.token_hex(16).encode()
    try:
        with _driver(tier, program, token, timeout_s) as process:
            output, in_time = _listen(process, timeout_s, STARTED + token)
    except OSError as error:
        return Verdict("infra_error", tier, f"cannot start: {error}")
    before, started, report = output.partition(STARTED)
    if not started:
        silence = "the driver ended" if in_time else f"the driver did not start in {START_S:g} s"
        return Verdict("infra_error", tier, _line(before) or silence)
    if report == token:
        return Verdict("passed", tier)
    if not in_time:
        return Verdict("timeout", tier, f"no end within {timeout_s:g} s")
    return Verdict("failed", tier, _line(report) or "ended before its last line")


@contextlib.contextmanager
def _driver(
    tier: str, program: str, token: bytes, timeout_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    """The running driver; gone, with all it started, when the block ends."""
    with contextlib.ExitStack() as stack:
        # Unlinked from the start: nothing is left behind, even if we are killed.
        job = stack.enter_context(tempfile.TemporaryFile())
        job.write(tiers.job(tier, program, token, timeout_s))
        job.seek(0)
        folder = "/"
        if tier == tiers.UNSAFE:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        process = stack.enter_context(
            subprocess.Popen(
                tiers.command(tier),
                stdin=job,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=tiers.environment(),
                cwd=folder,
                start_new_session=True,
            )
        )
        stack.callback(_end, process)
        yield process


def _listen(process: subprocess.Popen[bytes], timeout_s: float, done: bytes) -> tuple[bytes, bool]:
    """What the driver wrote, and whether it (not the clock) put an end to it."""
    assert process.stderr is not None
    pipe, output, started = process.stderr.fileno(), b"", False
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    deadline = time.monotonic() + START_S
    while not output.endswith(done) and len(output) < MAX_OUTPUT:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return output, False
        chunk = os.read(pipe, 4096)
        if not chunk:
            break
        output += chunk
        if not started and STARTED in output:
            started, deadline = True, time.monotonic() + timeout_s
    return output, True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs: first the children, so that their parent reaps them."""
    assert process.stderr is not None
    children: list[int] = []
    with contextlib.suppress(OSError):
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_bytes()
        children = [int(pid) for pid in listed.split()]
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    if children:
        closed = select.poll()
        closed.register(process.stderr, 0)  # reports only that the other end is closed
        closed.poll(300)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _line(text: bytes) -> str:
    """The last line that says something, printable and short."""
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in lines[-1])[:300] if lines else ""
