"""An adapter in the format of mlx-lm: ``mlx_lm.generate --model BASE --adapter-path OUT``."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.adapters import CONFIG
from selfmoe.models.structure import find_decoder
from selfmoe.outward.export.adapter import Adapter
from selfmoe.outward.export.source import Source
from selfmoe.store.files import write_json

WEIGHTS = "adapters.safetensors"
BLOCKS = "model.layers"
"""Where models of mlx-lm have their decoder blocks."""


def write_mlx(source: Source, adapter: Adapter, folder: Path) -> None:
    """Write what mlx-lm loads: A and B transposed, one rank and one scale for all layers.

    Args:
        source: The system.
        adapter: What it adds.
        folder: Where to; is there.

    Raises:
        NotSupportedError: If mlx-lm names the layers of this base otherwise.
    """
    decoder = find_decoder(source.model, source.base.blocks)
    if decoder.path != BLOCKS:
        raise NotSupportedError(
            f"--format mlx: mlx-lm has its blocks at {BLOCKS}, this base at {decoder.path}\n"
            "  --format peft or --format hf exports the system."
        )
    factors, rank, scale = adapter.alike()
    tensors = {}
    for site, part in factors.items():
        tensors[f"{site}.lora_a"] = part.a.float().t().contiguous()
        tensors[f"{site}.lora_b"] = part.b.float().t().contiguous()
    save_file(tensors, folder / WEIGHTS, {"format": "mlx"})
    keys = sorted({site.removeprefix(f"{BLOCKS}.").partition(".")[2] for site in factors})
    settings = {"rank": rank, "scale": scale, "dropout": 0.0, "keys": keys}
    told = {"fine_tune_type": "lora", "num_layers": len(decoder.blocks), "model": source.origin}
    write_json(folder / CONFIG, {**told, "lora_parameters": settings})
