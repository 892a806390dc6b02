"""Memory of a mixture with few of its experts in it: `python -m speeds.anonymous FOLDER N LIVE`.

Anonymous memory is what the process holds for itself. Pages of mapped files are beside it: the
system drops them when it needs room.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from speeds.memory import GIVEN_BACK

Json = dict[str, Any]


def spaces(folder: Path, n: int, live: int) -> Json:
    """Return what a process holds after prefill and decoding, of the base alone and with a mixture.

    Args:
        folder: Where the mixture of ``n`` experts is stored, see ``speeds.retrieved``.
        n: Its experts; 0 is the base alone.
        live: How many of them a block keeps in memory.

    Returns:
        In MB, for ``base`` and ``selfmoe``: ``anonymous`` and ``files``; and ``live``, what so many
        experts weigh on disk.
    """
    found: Json = {}
    for name, experts in (("base", 0), ("selfmoe", n)):
        command = [sys.executable, "-m", "speeds.anonymous", str(folder), str(experts), str(live)]
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            env=os.environ | GIVEN_BACK,
            capture_output=True,
            text=True,
            check=True,
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
    weights = folder / "512" / "0" / "adapter_model.safetensors"
    return {**found, "live": round(live * weights.stat().st_size / 1e6, 1)}


def _one(folder: str, n: str, live: str) -> Json:
    import torch

    from speeds.systems import Setting, base, build
    from speeds.work import decode, prefill

    torch.set_num_threads(1)
    setting = Setting("512", int(n), Path(folder), live=int(live))
    model = build(setting, ["selfmoe"])["selfmoe"] if int(n) else base(setting)
    prefill(model, 2, 256)()
    decode(model, 2, 16)()
    gc.collect()
    return {"anonymous": _sum("Anonymous"), "files": _sum("Rss") - _sum("Anonymous")}


def _sum(key: str) -> float:
    lines = Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return round(int(kilobytes) / 1000, 1)


if __name__ == "__main__":
    print(json.dumps(_one(*sys.argv[1:])))
