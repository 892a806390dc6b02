"""An adapter in GGUF: ``llama-server -m BASE.gguf --lora OUT/adapter.gguf``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.adapters import Factors
from selfmoe.models.gguf.header import INSTALL
from selfmoe.models.structure import text_config
from selfmoe.outward.export.adapter import Adapter
from selfmoe.outward.export.source import Source

FILE = "adapter.gguf"
ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma",
    "gemma2": "gemma2", "phi3": "phi3", "gpt2": "gpt2",
}  # fmt: skip
"""What llama.cpp calls the families whose weights it arranges in ways that are known here."""

_TURNED = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
"""Layers of ``llama`` whose rows llama.cpp has in another order, by head."""


def write_gguf(source: Source, adapter: Adapter, folder: Path) -> None:
    """Write an adapter as llama.cpp reads it, in float32.

    Args:
        source: The system.
        adapter: What it adds.
        folder: Where to; is there.

    Raises:
        NotSupportedError: If the base's family is not known to be the same there, or the package
            ``gguf`` is missing.
    """
    architecture = _architecture(source)
    config = text_config(source.model)
    names = _names(architecture, config.num_hidden_layers, adapter.factors)
    from gguf import GGUFType, GGUFWriter

    factors, rank, scale = adapter.alike()
    writer = GGUFWriter(folder / FILE, architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", scale * rank)
    for site, part in factors.items():
        b = turned(part.b.float(), site, architecture, config)
        writer.add_tensor(f"{names[site]}.weight.lora_a", part.a.float().contiguous().numpy())
        writer.add_tensor(f"{names[site]}.weight.lora_b", b.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(source: Source, sites: Mapping[str, Factors], folder: Path) -> dict[str, Factors]:
    """Return what an adapter in GGUF adds to each layer.

    Args:
        source: The system it was written of.
        sites: The layers.
        folder: Where it is.
    """
    from gguf import GGUFReader

    architecture, config = _architecture(source), text_config(source.model)
    names = _names(architecture, config.num_hidden_layers, sites)
    reader = GGUFReader(str(folder / FILE))
    tensors = {t.name: torch.from_numpy(t.data.copy()) for t in reader.tensors}
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    found = {}
    for site, name in names.items():
        a, b = (tensors[f"{name}.weight.lora_{factor}"] for factor in "ab")
        back = turned(b, site, architecture, config, back=True)
        found[site] = Factors(a, back, alpha / len(a))
    return found


def turned(b: Tensor, site: str, architecture: str, config: Any, *, back: bool = False) -> Tensor:
    """Return B with the rows of every head in llama.cpp's order, or back in that of transformers.

    Llama's rotation takes pairs of neighbours there, and of the two halves of a head here.

    Args:
        b: Shape ``(out, rank)``.
        site: Name of the layer.
        architecture: Of the model, in llama.cpp's words.
        config: Its configuration.
        back: Whether to return to the order of transformers.
    """
    heads = _TURNED.get(site.rpartition(".")[2])
    if architecture != "llama" or heads is None:
        return b
    halves = (-1, 2) if back else (2, -1)
    return b.reshape(getattr(config, heads), *halves, b.shape[1]).transpose(1, 2).reshape(b.shape)


def _architecture(source: Source) -> str:
    kind = str(getattr(text_config(source.model), "model_type", "")).removesuffix("_text")
    if kind in ARCHITECTURES:
        return ARCHITECTURES[kind]
    raise NotSupportedError(
        f"--format gguf: how llama.cpp arranges the weights of a '{kind}' is not known here\n"
        f"  Known: {', '.join(ARCHITECTURES)}. --format peft writes what llama.cpp's own "
        "convert_lora_to_gguf.py reads."
    )


def _names(architecture: str, blocks: int, sites: Mapping[str, Factors]) -> dict[str, str]:
    """Return llama.cpp's name of every layer."""
    try:
        from gguf import MODEL_ARCH_NAMES, get_tensor_name_map
    except ImportError:
        raise NotSupportedError(
            f"--format gguf needs the package gguf, which is not installed\n  {INSTALL}"
        ) from None
    arch = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    known = get_tensor_name_map(arch, blocks)
    found = {site: known.get_name(site) for site in sites}
    if lacking := [site for site, name in found.items() if name is None]:
        raise NotSupportedError(f"--format gguf: llama.cpp has no layer {lacking[0]}")
    return {site: str(name) for site, name in found.items()}
