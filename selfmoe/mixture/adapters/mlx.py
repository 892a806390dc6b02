"""LoRA adapters of MLX (mlx-lm), read as what they add: their factors are stored transposed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.adapters.config import CONFIG
from selfmoe.mixture.adapters.factors import MAX_RANK, Factors, adds_nothing, check_pair
from selfmoe.mixture.adapters.files import read_tensors
from selfmoe.store.files import sha256

_WEIGHTS = "adapters.safetensors"

_KEY = re.compile(r"(?P<site>.+)\.lora_(?P<factor>[ab])")


def is_mlx(path: Path, config: Any) -> bool:
    """Return whether a folder holds an adapter of MLX.

    Args:
        path: The folder.
        config: What its configuration holds.
    """
    return isinstance(config, dict) and "peft_type" not in config and (path / _WEIGHTS).is_file()


def read_mlx(path: Path, config: Mapping[str, Any]) -> dict[str, Factors]:
    """Return what an adapter of MLX adds to each linear layer, by the layer's name.

    It computes ``scale * (x @ lora_a) @ lora_b``.

    Raises:
        CompositionError: If it is no LoRA on linear layers, or damaged.
    """
    rank, scale = _settings(path, config)
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_tensors(path / _WEIGHTS).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise CompositionError(
                f"{path / _WEIGHTS}: '{key}' is not part of a plain LoRA on linear layers "
                "(DoRA, embeddings and fully trained layers are not supported)"
            )
        pairs.setdefault(match["site"], {})[match["factor"]] = tensor
    if not pairs:
        raise CompositionError(f"{path / _WEIGHTS} is empty")
    found = {site: _factors(path, site, pair, scale) for site, pair in sorted(pairs.items())}
    ranks = {part.rank for part in found.values()}
    if ranks != {rank} or not 1 <= rank <= MAX_RANK:
        raise CompositionError(
            f"{path}: the weights have rank {sorted(ranks)}, {CONFIG} says {rank}; both must be "
            f"equal and lie in 1..{MAX_RANK}"
        )
    return {site: part for site, part in found.items() if part.rank}


def facts_of_mlx(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an adapter of MLX adds depends on."""
    rank, scale = _settings(path, config)
    return {"mlx": [rank, scale], "weights": sha256(path / _WEIGHTS)}


def _settings(path: Path, config: Mapping[str, Any]) -> tuple[int, float]:
    """Return rank and scale."""
    kind = "dora" if config.get("use_dora") else config.get("fine_tune_type", "lora")
    if kind != "lora":
        raise CompositionError(
            f"{path} is an adapter of MLX with fine_tune_type {kind}, which a mixture cannot "
            "represent; train it with fine_tune_type lora"
        )
    told = config.get("lora_parameters")
    told = told if isinstance(told, dict) else {}
    rank, scale = told.get("rank"), told.get("scale")
    for name, value in (("rank", rank), ("scale", scale)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
            raise CompositionError(
                f"{path / CONFIG}: an adapter of MLX needs a number lora_parameters.{name}; got "
                f"{value!r}"
            )
    return int(rank or 0), float(scale or 0)


def _factors(path: Path, site: str, pair: Mapping[str, Tensor], scale: float) -> Factors:
    where = f"{path}, layer {site}"
    if set(pair) != {"a", "b"}:
        raise CompositionError(f"{where}: lora_a and lora_b must come in pairs")
    if pair["a"].dim() != 2 or pair["b"].dim() != 2:
        raise CompositionError(
            f"{where}: lora_a of shape {tuple(pair['a'].shape)} and lora_b of shape "
            f"{tuple(pair['b'].shape)} are no LoRA of a linear layer; those of sparse layers' "
            "experts cannot be composed"
        )
    a, b = pair["a"].t().contiguous(), pair["b"].t().contiguous()
    if not adds_nothing(a, b):
        check_pair(where, a, b)
    return Factors(a, b, scale)
