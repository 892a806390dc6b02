"""Reading LoRA experts: PEFT adapter folders, without PEFT, and what can be read as one exactly."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters.config import (
    CONFIG,
    check_config,
    check_order,
    facts_of_order,
    rank_of,
    read_json,
    scale_of,
)
from selfmoe.mixture.adapters.factors import MAX_RANK, Factors, adds_nothing, by_site, check_pair
from selfmoe.mixture.adapters.files import (
    WEIGHTS,
    Pair,
    check_weights,
    is_clean,
    read_pairs,
    sites,
    write_tensors,
)
from selfmoe.mixture.adapters.mlx import facts_of_mlx, is_mlx, read_mlx
from selfmoe.store.files import sha256, write_json

__all__ = [
    "CONFIG",
    "MAX_RANK",
    "WEIGHTS",
    "Factors",
    "adapter_hash",
    "by_site",
    "described",
    "factors_of",
    "made_for",
    "read_config",
    "read_factors",
    "take_over",
    "write_adapter",
    "write_factors",
    "write_plain",
]

_IDENTITY = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")


def read_factors(path: Path) -> Mapping[str, Factors]:
    """Return what a LoRA folder adds to each linear layer, by the layer's name.

    The adapted layers are those the weight file has keys for; rank patterns, alpha patterns and
    rsLoRA are respected. Layers of rank 0 are left out. Adapters of MLX are read, too.

    Raises:
        CompositionError: If the folder is no plain LoRA adapter, is damaged, or uses a feature
            that a mixture cannot represent; says which.
    """
    config = read_json(path)
    if is_mlx(path, config):
        found: Mapping[str, Factors] = read_mlx(path, config)
    else:
        check_config(path, config)
        found = {
            site: _factors(path, site, pair, config)
            for site, pair in read_pairs(path).items()
            if not adds_nothing(*_both(path, site, pair))
        }
    if not found:
        raise CompositionError(f"{path} adds nothing: all its layers have rank 0")
    return found


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a plain LoRA adapter.

    Raises:
        CompositionError: If it cannot be read, is not LoRA, or uses an unsupported feature.
    """
    config = read_json(path)
    if not is_mlx(path, config):
        check_config(path, config)
    return dict(config)


def made_for(path: Path) -> str | None:
    """Return the base that an adapter says it was made for, if it says so."""
    config = read_config(path)
    named = config.get("model" if is_mlx(path, config) else "base_model_name_or_path")
    return str(named) if named else None


def write_factors(path: Path, factors: Mapping[str, Factors], *, like: Path) -> Path:
    """Write a PEFT LoRA folder and return its path.

    Args:
        path: The folder; may exist.
        factors: A and B of each layer, in the shapes of ``like``; their scale is that of its
            configuration.
        like: A LoRA folder whose configuration the new one gets.
    """
    path.mkdir(parents=True, exist_ok=True)
    write_tensors(path, factors)
    shutil.copyfile(like / CONFIG, path / CONFIG)
    return path


def take_over(source: Path, path: Path) -> None:
    """Write a plain PEFT LoRA folder that adds what another adapter adds.

    What PEFT reads as it is stays as it is, byte by byte; the rest is written anew.

    Args:
        source: The adapter.
        path: The folder; exists.

    Raises:
        CompositionError: If the adapter cannot be read.
    """
    config, factors = read_config(source), read_factors(source)
    if not is_mlx(source, config) and is_clean(source):
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(source / file, path / file)
        return
    write_plain(path, factors, made_for(source))


def write_adapter(path: Path, factors: Mapping[str, Factors], config: Mapping[str, Any]) -> None:
    """Write a PEFT LoRA folder.

    Args:
        path: The folder; exists.
        factors: A and B of each layer.
        config: What its configuration says; must give each layer the rank and scale it has.
    """
    write_tensors(path, factors)
    write_json(path / CONFIG, config)


def write_plain(path: Path, factors: Mapping[str, Factors], base: str | None) -> None:
    """Write a plain PEFT LoRA folder.

    Args:
        path: The folder; exists.
        factors: A, B and scale of each layer.
        base: What it is for.
    """
    write_adapter(path, factors, described(factors, base))


def adapter_hash(path: Path) -> str:
    """Return 10 hex digits over what an adapter adds: its weights, ranks and scales.

    Where the folder lies and which path its base had do not matter.
    """
    config = read_config(path)
    if is_mlx(path, config):
        facts = facts_of_mlx(path, config)
    else:
        check_weights(path)
        facts = {key: config.get(key) for key in _IDENTITY} | {"weights": sha256(path / WEIGHTS)}
        if config.get("alpha_pattern") and (order := facts_of_order(path, config, sites(path))):
            facts["order"] = order
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def _both(path: Path, site: str, pair: Pair) -> tuple[Tensor, Tensor]:
    if set(pair.factors) != {"A", "B"}:
        raise CompositionError(f"{path}, layer {site}: lora_A and lora_B must come in pairs")
    return pair.factors["A"], pair.factors["B"]


def _factors(path: Path, site: str, pair: Pair, config: Mapping[str, Any]) -> Factors:
    where = f"{path}, layer {site}"
    a, b = _both(path, site, pair)
    check_pair(where, a, b)
    rank = rank_of(path, config, pair.trained_as)
    if a.shape[0] != rank or not 1 <= rank <= MAX_RANK:
        raise CompositionError(
            f"{where}: A has {a.shape[0]} rows, {CONFIG} says rank {rank}; both must be equal "
            f"and lie in 1..{MAX_RANK}"
        )
    scale = scale_of(path, config, pair.trained_as, rank)
    check_order(path, config, pair.trained_as)
    return Factors(a, b, scale)


def described(factors: Mapping[str, Factors], base: str | None) -> dict[str, Any]:
    """Return the configuration of a PEFT LoRA of given ranks and scales.

    Args:
        factors: A and B of each layer.
        base: What the base is called there; ``None`` for nothing.
    """
    ranks = {site: part.rank for site, part in factors.items()}
    alphas = {site: part.scale * part.rank for site, part in factors.items()}
    first = next(iter(factors))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": alphas[first],
        "lora_dropout": 0.0,
        "r": ranks[first],
        "target_modules": sorted(factors),
        "rank_pattern": {_only(s): n for s, n in ranks.items() if n != ranks[first]},
        "alpha_pattern": {_only(s): n for s, n in alphas.items() if n != alphas[first]},
        "use_rslora": False,
    }


def _only(site: str) -> str:
    """Return the pattern that matches one layer."""
    return "^" + site.replace(".", r"\.")


def factors_of(expert: Expert) -> Mapping[str, Factors]:
    """Return ``site -> Factors`` (A, B and scale) of every linear an expert changes."""
    return read_factors(expert.path)
