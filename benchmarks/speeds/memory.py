"""Peak memory of a forward, each system in a process of its own: `python -m speeds.memory …`."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
"""Lets the allocator give memory back at once, so that the peak is what is in use."""


def peaks(folder: Path, shape: str, n: int, names: list[str], batch: int, runs: int) -> Json:
    """Return what a forward of ``batch`` × 256 tokens needs beyond the loaded model, in MB.

    Returns:
        ``systems``: name -> ``extra`` (median over the runs), ``low`` and ``high`` (all of them)
        and ``loaded``, the memory before the forward.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            command = [sys.executable, "-m", "speeds.memory", str(folder), shape, str(n), name]
            done = subprocess.run(
                [*command, str(batch)],
                cwd=Path(__file__).parents[1],
                env=os.environ | GIVEN_BACK,
                capture_output=True,
                text=True,
                check=True,
            )
            loaded, extra = json.loads(done.stdout.splitlines()[-1])
            found[name].append((loaded, extra))
    systems = {}
    for name, pairs in found.items():
        extra = [pair[1] for pair in pairs]
        systems[name] = {
            "extra": statistics.median(extra),
            "low": min(extra),
            "high": max(extra),
            "loaded": statistics.median(pair[0] for pair in pairs),
        }
    return {"systems": systems, "runs": runs}


def _one(folder: str, shape: str, n: str, name: str, batch: str) -> tuple[float, float]:
    import torch

    from speeds.systems import Setting, build
    from speeds.work import prefill

    torch.set_num_threads(1)
    (model,) = build(Setting(shape, int(n), Path(folder)), [name]).values()
    prefill(model, 1, 8)()
    work = prefill(model, int(batch), 256)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    loaded = _status("VmRSS")
    work()
    return round(loaded, 1), round(_status("VmHWM") - loaded, 1)


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(kilobytes) / 1000


if __name__ == "__main__":
    print(json.dumps(_one(*sys.argv[1:])))
