"""Which tiers hold on this machine: asked of canaries, once a process, never assumed."""

import functools
import sys
import tempfile
import threading
from pathlib import Path

from selfmoe.evaluation.sandbox.process import execute
from selfmoe.evaluation.sandbox.tiers import TIERS

CANARY_S = 10.0

MUST_PASS = """
import json, math, random, re, threading
thread = threading.Thread(target=json.dumps, args=([math.pi],))
thread.start()
thread.join()
assert re.match("a+", "aaa")
"""

MUST_STOP = """
reached = []
for path, mode in ({secret!r}, "r"), ({target!r}, "a"):
    try:
        open(path, mode)
    except OSError:
        continue
    reached.append(path)
raise SystemExit(f"reached {{reached}}" if reached else "stopped")
"""

_lock = threading.Lock()


def why_not(tier: str) -> str | None:
    """Why ``tier`` does not hold here; None if it does."""
    with _lock:
        return _probe(tier)


def available_tiers() -> dict[str, str | None]:
    """Each tier, best first, with the reason why it does not hold here; None if it does."""
    return {tier: why_not(tier) for tier in TIERS}


def best_tier() -> str | None:
    """The best tier that holds here, or None."""
    return next((tier for tier in TIERS if why_not(tier) is None), None)


@functools.cache
def _probe(tier: str) -> str | None:
    if sys.platform != "linux":
        return f"needs Linux, not {sys.platform}"
    verdict = execute(tier, MUST_PASS, CANARY_S)
    if verdict.status != "passed":
        return verdict.detail
    with tempfile.TemporaryDirectory() as folder:
        secret, target = Path(folder, "secret"), Path(folder, "target")
        for path, mode in (secret, 0o666), (target, 0o666), (Path(folder), 0o755):
            path.touch()
            path.chmod(mode)  # the walls must stop the canary, not the file's mode
        canary = MUST_STOP.format(secret=str(secret), target=str(target))
        verdict = execute(tier, canary, CANARY_S)
    if (verdict.status, verdict.detail) != ("failed", "SystemExit: stopped"):
        return f"the canary was not stopped: {verdict.status} {verdict.detail}"
    return None
