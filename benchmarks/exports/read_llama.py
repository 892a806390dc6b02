"""Run by an interpreter with xllamacpp: as `read_mlx.py`, by llama.cpp's server in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

VOCABULARY = 288
"""Tokens of the toys; llama.cpp tells nothing if it is asked for more."""


def read(folder: Path) -> dict[str, Any]:
    """Return what llama.cpp computes of one family."""
    import xllamacpp

    ids = json.loads((folder / "ids.json").read_text("utf-8"))
    told: dict[str, Any] = {"family": folder.name, "version": xllamacpp.__version__}
    for what, adapter in (("base", None), ("expert", folder / "gguf" / "adapter.gguf")):
        told[what] = _asked(xllamacpp, folder / "base.gguf", adapter, ids)
    return told


def _asked(xllamacpp: Any, base: Path, adapter: Path | None, ids: list[int]) -> list[float]:
    wishes = xllamacpp.CommonParams()
    wishes.model.path = str(base)
    wishes.n_ctx, wishes.n_parallel, wishes.warmup, wishes.n_gpu_layers = 256, 1, False, 0
    wishes.cpuparams.n_threads = 1
    wishes.cache_type_k = wishes.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    wishes.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter is not None:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = str(adapter), 1.0
        wishes.lora_adapters = [lora]
    server = xllamacpp.Server(wishes)
    asked = {"prompt": ids, "n_predict": 1, "n_probs": VOCABULARY, "temperature": 0.0}
    told = server.handle_completions({**asked, "cache_prompt": False, "samplers": []})
    told = json.loads(told) if isinstance(told, str) else told
    top = told["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    chances = {row["id"]: row["logprob"] for row in top}
    return [chances[number] for number in range(len(chances))]


if __name__ == "__main__":
    for place in sorted(path for path in Path(sys.argv[1]).iterdir() if (path / "gguf").is_dir()):
        print(json.dumps(read(place)), flush=True)
