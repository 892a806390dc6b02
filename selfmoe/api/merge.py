"""``selfmoe.merge``: adapters from anywhere merged on their base, without a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfmoe.api.evaluation.adapters import Adapters, named
from selfmoe.contracts.paths import expand
from selfmoe.outward.merging.merge import merge_adapters
from selfmoe.outward.merging.model import Format, Merged, Wanted
from selfmoe.reporting.terminal.progress import Display


def merge(
    adapters: Adapters,
    *,
    base: str | Path,
    method: str,
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    format: Format = "hf",
    rank: int | None = None,
    dtype: str = "auto",
    seed: int = 0,
    display: Display | None = None,
) -> Merged:
    """Merge LoRA adapters on their base into a plain model or one PEFT LoRA, without a run.

    What is written loads without selfmoe. It is read again with transformers or PEFT before it gets
    its name, and must compute what selfmoe computes. All is done in float32 on the CPU.

    Args:
        adapters: PEFT LoRA folders by name, or a sequence of them, ``"name=folder"`` or the folder
            alone. Ranks, layers and scales may differ.
        base: Base plugin, folder of a model, GGUF file, or hub id.
        method: Name of a merge that needs no data, such as ``ties``, ``dare`` or ``mean``.
        out: The folder to write; must not exist.
        options: Options of the merge, such as ``{"density": 0.2}``.
        format: ``hf`` writes the base's weights with the delta added; ``peft`` a LoRA for the base.
        rank: Of a PEFT LoRA; default: the sum of the adapters' ranks, which is exact for merges
            that only add.
        dtype: Number format of a model's weights; default: that of the base's files.
        seed: Decides what a merge draws.
        display: Where progress is shown; default: standard error.

    Returns:
        Where it lies, what the rank left out, and how exact it is.

    Raises:
        SelfmoeError: If something named is wrong, the merge needs data, ``out`` exists, or what was
            written computes something else. Nothing is left then.
    """
    tell = (display or Display()).say
    folders = {name: expand(folder) for name, folder in named(adapters, "").items()}
    wanted = Wanted(
        adapters=folders,
        base=str(base),
        method=method,
        out=expand(out),
        options=options or {},
        format=format,
        rank=rank,
        dtype=dtype,
        seed=seed,
    )
    return merge_adapters(wanted, tell)
