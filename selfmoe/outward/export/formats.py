"""The formats: what each writes of a system, and how it is read again to be checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import write_plain
from selfmoe.mixture.runtime import attach_expert
from selfmoe.models.quiet import quiet
from selfmoe.outward.export.adapter import Adapter, adapter_of
from selfmoe.outward.export.gguf import read_gguf, write_gguf
from selfmoe.outward.export.mlx import write_mlx
from selfmoe.outward.export.routed import BaseWeights, formula_of, load_routed, write_routed
from selfmoe.outward.export.source import Source


@dataclass(frozen=True)
class Wishes:
    """What is asked for.

    Attributes:
        weights: Whether the base's weights are copied, or named where they are.
        rank: Of an adapter, at the most.
    """

    weights: BaseWeights = "copy"
    rank: int | None = None


class Written(NamedTuple):
    """What was written.

    Attributes:
        read: Returns the model that is there now; asked once, the base carries nothing then.
        adapter: What it is as an adapter, if it is one.
    """

    read: Callable[[], Any]
    adapter: Adapter | None = None


Writer = Callable[[Source, Path, Wishes], Written]
"""Writes a system into a folder that is there and empty."""


def _hf(source: Source, folder: Path, wishes: Wishes) -> Written:
    if wishes.rank is not None:
        raise NotSupportedError("--rank is that of an adapter: --format peft, mlx or gguf")
    dtype = next(source.model.parameters()).dtype
    if source.routes:
        formula_of(source)
        with quiet():
            write_routed(source, folder, wishes.weights)
        read: Callable[[], Any] = lambda: load_routed(folder, dtype)  # noqa: E731
    else:
        read = _plain(source, folder, wishes, dtype)
    source.base.tokenizer.save_pretrained(folder)
    return Written(read)


def _plain(source: Source, folder: Path, wishes: Wishes, dtype: torch.dtype) -> Callable[[], Any]:
    """Write a model like any other, experts in its weights."""
    if wishes.weights == "reference":
        raise NotSupportedError(
            f"--base-weights reference: '{source.system.name}' is in the base's own weights, which "
            "differ from those referred to\n  --format peft keeps what it adds apart."
        )
    with quiet():
        source.model.save_pretrained(folder)
    source.mixture.detach()

    def read() -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    return read


def _peft(source: Source, folder: Path, wishes: Wishes) -> Written:
    adapter = adapter_of(source, wishes.rank)
    write_plain(folder, adapter.factors, source.origin)
    source.mixture.detach()

    def read() -> Any:
        from peft import PeftModel

        return PeftModel.from_pretrained(source.model, str(folder)).eval()

    return Written(read, adapter)


def _mlx(source: Source, folder: Path, wishes: Wishes) -> Written:
    adapter = adapter_of(source, wishes.rank)
    write_mlx(source, adapter, folder)
    source.mixture.detach()
    return Written(lambda: attach_expert(source.model, Expert("mlx", folder)).model, adapter)


def _gguf(source: Source, folder: Path, wishes: Wishes) -> Written:
    adapter = adapter_of(source, wishes.rank)
    write_gguf(source, adapter, folder)
    source.mixture.detach()

    def read() -> Any:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="selfmoe-") as room:
            write_plain(Path(room), read_gguf(source, adapter.factors, folder), None)
            return attach_expert(source.model, Expert("gguf", Path(room))).model

    return Written(read, adapter)


WRITERS: Mapping[str, Writer] = {"hf": _hf, "peft": _peft, "mlx": _mlx, "gguf": _gguf}
"""Name of a format -> what writes it."""
