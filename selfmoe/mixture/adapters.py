"""Reading LoRA experts: plain PEFT adapter folders, without PEFT."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfmoe.errors import CompositionError
from selfmoe.files import sha256

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MAX_RANK = 1024
"""Largest rank that is read; PEFT adapters of higher rank are not low-rank any more."""

_KEY = re.compile(r"base_model\.model\.(?P<site>.+)\.lora_(?P<factor>[AB])\.weight")
_REFUSED = {
    "use_dora": "DoRA",
    "lora_bias": "a bias in B (lora_bias)",
    "modules_to_save": "fully trained modules (modules_to_save)",
    "target_parameters": "LoRA on bare parameters (target_parameters)",
    "trainable_token_indices": "trained token embeddings (trainable_token_indices)",
    "layer_replication": "replicated layers (layer_replication)",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "alora_invocation_tokens": "activated LoRA (alora_invocation_tokens)",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_IDENTITY = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora")


class Factors(NamedTuple):
    """What an expert adds to one linear layer: ``scale * b @ a``.

    Attributes:
        a: Shape ``(rank, in)``, as stored.
        b: Shape ``(out, rank)``, as stored.
        scale: ``lora_alpha / r``, or ``lora_alpha / sqrt(r)`` for rsLoRA.
    """

    a: Tensor
    b: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Return the number of rows of A."""
        return int(self.a.shape[0])

    def delta(self) -> Tensor:
        """Return ``scale * b @ a`` in float32, shape ``(out, in)``."""
        return self.scale * (self.b.float() @ self.a.float())


def read_factors(path: Path) -> Mapping[str, Factors]:
    """Return what a PEFT LoRA folder adds to each linear layer, by the layer's name.

    The adapted layers are those the weight file has keys for; rank patterns, alpha patterns and
    rsLoRA are respected.

    Raises:
        CompositionError: If the folder is no plain LoRA adapter, is damaged, or uses a feature
            that a mixture cannot represent; says which.
    """
    config = read_config(path)
    pairs = _pairs(path)
    return {site: _factors(path, site, pair, config) for site, pair in pairs.items()}


def read_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a plain LoRA adapter.

    Raises:
        CompositionError: If it cannot be read, is not LoRA, or uses an unsupported feature.
    """
    if not path.is_dir():
        raise CompositionError(f"no folder {path}; an adapter is a folder with {CONFIG}")
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CompositionError(
            f"{path} is not a PEFT adapter folder: {CONFIG} cannot be read ({error})"
        ) from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise CompositionError(f"{path}: experts must be LoRA adapters, this one is {kind}")
    refused = [what for key, what in _REFUSED.items() if config.get(key)]
    if config.get("bias", "none") != "none":
        refused.append(f"trained biases (bias={config['bias']})")
    start = str(config.get("init_lora_weights", "")).lower()
    if start.startswith(_CHANGES_BASE):
        refused.append(f"a changed base (init_lora_weights={start}; convert it to plain LoRA)")
    if refused:
        raise CompositionError(
            f"{path} uses {' and '.join(refused)}, which a mixture cannot represent; "
            "train it as a plain LoRA"
        )
    return config


def write_factors(path: Path, factors: Mapping[str, Factors], *, like: Path) -> Path:
    """Write a PEFT LoRA folder and return its path.

    Args:
        path: The folder; may exist.
        factors: A and B of each layer, in the shapes of ``like``; their scale is that of its
            configuration.
        like: A LoRA folder whose configuration the new one gets.
    """
    path.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"base_model.model.{site}.lora_{name}.weight": tensor.contiguous()
        for site, part in factors.items()
        for name, tensor in (("A", part.a), ("B", part.b))
    }
    save_file(tensors, path / WEIGHTS, {"format": "pt"})
    shutil.copyfile(like / CONFIG, path / CONFIG)
    return path


def adapter_hash(path: Path) -> str:
    """Return 10 hex digits over what an adapter adds: its weights, ranks and scales.

    Where the folder lies and which path its base had do not matter.
    """
    config = read_config(path)
    if not (path / WEIGHTS).is_file():
        raise _no_weights(path)
    facts = {key: config.get(key) for key in _IDENTITY} | {"weights": sha256(path / WEIGHTS)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]


def _no_weights(path: Path) -> CompositionError:
    pickled = (path / "adapter_model.bin").exists()
    hint = " (.bin files can run code and are not read; save it again as safetensors)"
    return CompositionError(f"{path} has no {WEIGHTS}{hint if pickled else ''}")


def _pairs(path: Path) -> Mapping[str, dict[str, Tensor]]:
    if not (path / WEIGHTS).is_file():
        raise _no_weights(path)
    try:
        tensors = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CompositionError(f"{path / WEIGHTS} is damaged: {error}") from None
    pairs: dict[str, dict[str, Tensor]] = {}
    for key in sorted(tensors):
        match = _KEY.fullmatch(key)
        if match is None:
            raise CompositionError(
                f"{path / WEIGHTS}: '{key}' is not part of a plain LoRA on linear layers "
                "(embeddings, biases and fully trained modules are not supported)"
            )
        pairs.setdefault(match["site"], {})[match["factor"]] = tensors[key]
    if not pairs:
        raise CompositionError(f"{path / WEIGHTS} is empty")
    return pairs


def _factors(
    path: Path, site: str, pair: Mapping[str, Tensor], config: Mapping[str, Any]
) -> Factors:
    where = f"{path}, layer {site}"
    if set(pair) != {"A", "B"}:
        raise CompositionError(f"{where}: lora_A and lora_B must come in pairs")
    a, b = pair["A"], pair["B"]
    if a.dim() != 2 or b.dim() != 2 or a.shape[0] != b.shape[1]:
        raise CompositionError(
            f"{where}: A of shape {tuple(a.shape)} and B of shape {tuple(b.shape)} do not fit"
        )
    rank = _number(path, config, "rank_pattern", site, "r")
    if a.shape[0] != rank or not 1 <= rank <= MAX_RANK:
        raise CompositionError(
            f"{where}: A has {a.shape[0]} rows, {CONFIG} says rank {rank}; both must be equal "
            f"and lie in 1..{MAX_RANK}"
        )
    if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
        raise CompositionError(f"{where}: the weights hold infinite or undefined values")
    alpha = _number(path, config, "alpha_pattern", site, "lora_alpha")
    return Factors(a, b, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _number(path: Path, config: Mapping[str, Any], patterns: str, site: str, key: str) -> float:
    """Return what a configuration says of a layer: by pattern, or else by ``key``.

    Raises:
        CompositionError: If that is no finite number, or the patterns are none.
    """
    try:
        value = _by_pattern(config.get(patterns), site, config.get(key))
    except (AttributeError, re.error):
        raise CompositionError(
            f"{path / CONFIG}: {patterns} must map patterns of layer names to numbers; got "
            f"{config[patterns]!r}"
        ) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CompositionError(f"{path / CONFIG}: {key} of {site} must be a number; got {value!r}")
    return value


def _by_pattern(patterns: Mapping[str, Any] | None, site: str, default: Any) -> Any:
    """Return the value of the first pattern that ends the site's name, matched as PEFT does."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", site):
            return value
    return default
