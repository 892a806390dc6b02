"""The weight files of LoRA adapters: their keys, cleaned of what training programs wrap them in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.adapters.factors import Factors
from selfmoe.models.formats import of_file, of_folder, read_header

WEIGHTS = "adapter_model.safetensors"

_KEY = re.compile(r"base_model\.model\.(?P<site>.+)\.lora_(?P<factor>[AB])\.weight")
_WRAPPERS = re.compile(
    r"(?:^module\.)|(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""What torch.compile, FSDP, checkpointing and DDP put into the names of modules."""


class Pair(NamedTuple):
    """The factors of a layer, as stored.

    Attributes:
        trained_as: The layer's name while it was trained, wrappers included: what patterns of the
            configuration matched then.
        factors: By ``A`` and ``B``.
    """

    trained_as: str
    factors: dict[str, Tensor]


def read_tensors(file: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a weight file by name, of the shapes that are stored.

    Raises:
        CompositionError: If it is damaged, or not what its name says; says what it is.
    """
    if found := of_file(file):
        raise CompositionError(f"{file} is {found.what}\n  {found.advice}")
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CompositionError(f"{file} is damaged: {error}") from None


def read_pairs(path: Path) -> Mapping[str, Pair]:
    """Return the factors in a PEFT LoRA folder by layer, without wrappers in the layers' names.

    Raises:
        CompositionError: If there are none, or others than a plain LoRA has.
    """
    check_weights(path)
    tensors = read_tensors(path / WEIGHTS)
    pairs: dict[str, Pair] = {}
    for key in sorted(tensors):
        name, factor, raw = _parts(path, key)
        pair = pairs.setdefault(name, Pair(raw, {}))
        if factor in pair.factors:
            raise CompositionError(
                f"{path / WEIGHTS}: layer {name} is there twice, also as '{key}'"
            )
        pair.factors[factor] = tensors[key]
    if not pairs:
        raise CompositionError(
            f"{path / WEIGHTS} is empty\n  Some wrappers (DDP, FSDP, checkpoint_wrapper) let PEFT "
            "save nothing; save the unwrapped model."
        )
    return pairs


def sites(path: Path) -> list[str]:
    """Return the names of the layers in a PEFT LoRA folder, as they were trained.

    Raises:
        CompositionError: If there is no weight file, it is not what its name says, or holds
            something else than a plain LoRA does.
    """
    check_weights(path)
    if found := of_file(path / WEIGHTS):
        raise CompositionError(f"{path / WEIGHTS} is {found.what}\n  {found.advice}")
    return sorted({_parts(path, key)[2] for key in read_header(path / WEIGHTS)})


def is_clean(path: Path) -> bool:
    """Return whether PEFT reads all that is in a folder: no wrappers, and no layers of rank 0."""
    header = read_header(path / WEIGHTS)
    return not any(_WRAPPERS.search(key) or 0 in told["shape"] for key, told in header.items())


def write_tensors(path: Path, factors: Mapping[str, Factors]) -> None:
    """Write A and B of each layer into a folder, as PEFT does."""
    tensors = {
        f"base_model.model.{site}.lora_{name}.weight": tensor.contiguous()
        for site, part in factors.items()
        for name, tensor in (("A", part.a), ("B", part.b))
    }
    save_file(tensors, path / WEIGHTS, {"format": "pt"})


def check_weights(path: Path) -> None:
    """Refuse a folder without the weight file.

    Raises:
        CompositionError: If there is none; says what is there instead.
    """
    if (path / WEIGHTS).is_file():
        return
    if (path / "adapter_model.bin").exists():
        raise CompositionError(
            f"{path} has no {WEIGHTS} (.bin files can run code and are not read; save it again as "
            "safetensors)"
        )
    found = of_folder(path)
    hint = f"; it is {found.what}\n  {found.advice}" if found else ""
    raise CompositionError(f"{path} has no {WEIGHTS}{hint}")


def _parts(path: Path, key: str) -> tuple[str, str, str]:
    """Return layer, factor, and the layer's name with wrappers, of a tensor's name."""
    match = _KEY.fullmatch(_WRAPPERS.sub("", key))
    if match is None:
        raise CompositionError(
            f"{path / WEIGHTS}: '{key}' is not part of a plain LoRA on linear layers "
            "(embeddings, biases and fully trained modules are not supported)"
        )
    raw = key.partition("base_model.model.")[2] or key
    return match["site"], match["factor"], raw.rpartition(".lora_")[0]
