"""Run by an interpreter with mlx-lm: the logits of exported adapters, `PYTHON read_mlx.py FOLDER`.

Prints one JSON object a line for each family in the folder: log-probabilities behind the last token
of a text, of the base and with the adapter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read(folder: Path) -> dict[str, Any]:
    """Return what mlx-lm computes of one family."""
    import mlx.core as mx
    import mlx_lm

    ids = json.loads((folder / "ids.json").read_text("utf-8"))
    told: dict[str, Any] = {"family": folder.name, "version": mlx_lm.__version__}
    for what, adapter in (("base", None), ("expert", str(folder / "mlx"))):
        model, _ = mlx_lm.load(str(folder / "base"), adapter_path=adapter)
        last = model(mx.array([ids]))[0, -1].astype(mx.float32)
        told[what] = (last - mx.logsumexp(last)).tolist()
    return told


if __name__ == "__main__":
    for place in sorted(path for path in Path(sys.argv[1]).iterdir() if (path / "mlx").is_dir()):
        print(json.dumps(read(place)), flush=True)
