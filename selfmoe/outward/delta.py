"""A change of weights on disk: put into a model's own weights, or as a PEFT LoRA of some rank."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import pad

from selfmoe.contracts.composer import Composer
from selfmoe.contracts.records import Composition, Expert
from selfmoe.kits.merges import truncate
from selfmoe.mixture.adapters import Factors, by_site, described, factors_of, write_adapter
from selfmoe.mixture.surgery import Surgery
from selfmoe.models.checkpoints import CONFIG, FILES
from selfmoe.models.structure import linears, stores_transposed

Deltas = Mapping[str, Tensor]
"""By layer, shape ``(out, in)``."""

_BESIDE = ("*.jinja", "LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*")
"""What goes with a model, besides what decides its texts."""


def deltas_of(composer: Composer, composition: Composition) -> Deltas:
    """Return what a static composition adds to each weight: its deltas, or its adapters' sum."""
    if deltas := composer.deltas(composition):
        return deltas
    owned = [factors_of(Expert(name, path)) for name, path in composition.owned.items()]
    return {
        site: torch.stack([part.delta() for part in parts.values()]).sum(0)
        for site, parts in by_site(owned).items()
    }


# --- in the weights -------------------------------------------------------------------------------


def put_in(model: Any, deltas: Deltas, dtype: torch.dtype) -> None:
    """Add deltas to a model's weights for good, and round all weights to a number format once.

    A head that shared its weight with the embeddings and is changed has one of its own afterwards.

    Args:
        model: In float32; it computes in float32 afterwards, too.
        deltas: What is added.
        dtype: The number format that the weights are rounded to.
    """
    shared = _is_tied(model)
    surgery = Surgery(model)
    for site, delta in deltas.items():
        surgery.weight(site, delta)
    if shared and not _is_tied(model):
        model.config.get_text_config().tie_word_embeddings = False
        model.config.tie_word_embeddings = False
    _cast(model, dtype)
    _cast(model, torch.float32)


def write_model(model: Any, source: Path, dtype: torch.dtype, folder: Path) -> None:
    """Write a model as a plain folder of transformers, with all that its base has beside weights.

    Args:
        model: What ``put_in`` made; it is in float32 afterwards, too.
        source: The base's folder.
        dtype: The number format to write.
        folder: Where to; exists.

    Raises:
        OSError: If it cannot be written.
    """
    _cast(model, dtype)
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # as on a full disk
        raise OSError(str(error)) from None
    finally:
        _cast(model, torch.float32)
    (folder / "generation_config.json").unlink(missing_ok=True)  # the base's own is copied
    for file in sorted({file for kind in (*FILES, *_BESIDE) for file in source.glob(kind)}):
        if file.is_file() and ".safetensors" not in file.name and file.name != CONFIG:
            shutil.copyfile(file, folder / file.name)


def _cast(model: nn.Module, dtype: torch.dtype) -> None:
    """Change the number format of weights; what is computed beside them stays as it is."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def _is_tied(model: Any) -> bool:
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


@contextmanager
def added(model: nn.Module, factors: Mapping[str, Factors]) -> Iterator[None]:
    """Add factors to a model's weights as long as this lasts."""
    surgery = Surgery(model)
    try:
        for site, part in factors.items():
            surgery.weight(site, part.delta())
        yield
    finally:
        surgery.undo()


# --- as a LoRA ------------------------------------------------------------------------------------


def low_rank(deltas: Deltas, rank: int) -> tuple[dict[str, Factors], float]:
    """Return the LoRA of a rank that is nearest to some deltas, and what it leaves out.

    All layers get the same rank, filled up with zeros where a delta has less: every program reads
    that, and not all read a rank of each layer's own.

    Args:
        deltas: What is to be added.
        rank: Of every layer.

    Returns:
        A of shape ``(rank, in)`` and B of shape ``(out, rank)`` by layer, and the share, 0 to 1, of
        the squared norm of all deltas that is left out.
    """
    factors: dict[str, Factors] = {}
    energy = discarded = 0.0
    for site in deltas:
        low = truncate(deltas[site], rank)
        more = rank - low.a.shape[0]
        factors[site] = Factors(pad(low.a, (0, 0, 0, more)), pad(low.b, (0, more)), 1.0)
        energy, discarded = energy + low.energy, discarded + low.discarded
    return factors, discarded / energy if energy else 0.0


def write_lora(
    model: nn.Module, factors: Mapping[str, Factors], base: tuple[str, str | None], folder: Path
) -> None:
    """Write a PEFT LoRA folder for a model.

    Args:
        model: The base.
        factors: What is added to each layer.
        base: What PEFT shall load as the base, a folder or a hub id, and its revision there.
        folder: Where to; exists.

    Raises:
        OSError: If it cannot be written.
    """
    layers = linears(model)
    config = described(factors, base[0]) | {
        "revision": base[1],
        "target_modules": _targets(factors, layers),
        "fan_in_fan_out": all(stores_transposed(layers[site]) for site in factors),
    }
    try:
        write_adapter(folder, factors, config)
    except SafetensorError as error:  # as on a full disk
        raise OSError(str(error)) from None


def _targets(factors: Mapping[str, Factors], layers: Mapping[str, nn.Module]) -> list[str]:
    """Return the layers by their last names where these name no other layer, else in full."""
    last = {site.rpartition(".")[2] for site in factors}
    meant = {name for name in layers if name.rpartition(".")[2] in last}
    return sorted(last if meant == set(factors) else factors)


def stored_dtype(source: Path) -> torch.dtype:
    """Return the number format that a base's configuration names; without one float32."""
    config = json.loads((source / CONFIG).read_text("utf-8"))
    text = config.get("text_config") or {}
    named = [one.get(key) for one in (config, text) for key in ("dtype", "torch_dtype")]
    found = getattr(torch, next(filter(None, named), "float32"), None)
    return found if isinstance(found, torch.dtype) else torch.float32
