"""What the configuration of a PEFT LoRA says: of each layer, and of what cannot be composed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from selfmoe.contracts.errors import CompositionError
from selfmoe.models.formats import placeholder, recognise

CONFIG = "adapter_config.json"

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


def read_json(path: Path) -> Any:
    """Return what the configuration in a folder holds.

    Raises:
        CompositionError: If there is no such folder or configuration; says what is there instead.
    """
    if not path.is_dir():
        raise _no_folder(path)
    file = path / CONFIG
    if file.is_file() and (found := placeholder(file)):
        raise CompositionError(f"{file} is {found.what}\n  {found.advice}")
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        if not file.is_file() and (found := recognise(path)):
            raise CompositionError(f"{path} is {found.what}\n  {found.advice}") from None
        raise CompositionError(
            f"{path} is not a PEFT adapter folder: {CONFIG} cannot be read ({error})"
        ) from None


def _no_folder(path: Path) -> CompositionError:
    if not path.exists():
        return CompositionError(f"no folder {path}; an adapter is a folder with {CONFIG}")
    if found := recognise(path):
        return CompositionError(f"{path} is {found.what}\n  {found.advice}")
    return CompositionError(
        f"{path} is a file; an adapter is a folder with {CONFIG}\n  Give the folder it lies in."
    )


def check_config(path: Path, config: Any) -> None:
    """Refuse what is no LoRA, or one that a mixture cannot represent.

    Args:
        path: The adapter's folder, for the error.
        config: What its configuration holds.

    Raises:
        CompositionError: Says what it is, and what it uses.
    """
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise _other_kind(path, config if isinstance(config, dict) else {})
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


def _other_kind(path: Path, config: Mapping[str, Any]) -> CompositionError:
    kind = config.get("peft_type")
    found = None if kind else recognise(path)
    if found:
        return CompositionError(f"{path} is {found.what}\n  {found.advice}")
    hint = "" if kind else f": {CONFIG} names no peft_type"
    return CompositionError(f"{path}: experts must be LoRA adapters, this one is {kind}{hint}")


def rank_of(path: Path, config: Mapping[str, Any], site: str) -> float:
    """Return the rank that a configuration gives a layer.

    Raises:
        CompositionError: If that is no finite number.
    """
    return _number(path, config, "rank_pattern", site, "r")


def scale_of(path: Path, config: Mapping[str, Any], site: str, rank: float) -> float:
    """Return what the product of a layer's factors is multiplied by, if they have that rank.

    Raises:
        CompositionError: If that is no finite number.
    """
    alpha = _number(path, config, "alpha_pattern", site, "lora_alpha")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def check_order(path: Path, config: Mapping[str, Any], site: str) -> None:
    """Refuse a layer whose scale depends on the order of patterns, which PEFT does not keep.

    PEFT takes the first pattern that matches, and writes them in the order of the alphabet: the
    file does not tell any more with which one the adapter was trained.

    Raises:
        CompositionError: If patterns that match the layer name different values.
    """
    found = dict(_matching(config.get("alpha_pattern"), site))
    if len({float(value) for value in found.values() if _is_number(value)}) > 1:
        told = " and ".join(f"'{pattern}' says {value}" for pattern, value in found.items())
        raise CompositionError(
            f"{path / CONFIG}: alpha_pattern is ambiguous for {site}: {told}; PEFT takes the first "
            "and saves them in another order, so which one it was trained with cannot be told"
            f"\n  Put into {CONFIG} patterns of which only one matches a layer."
        )


def facts_of_order(path: Path, config: Mapping[str, Any], sites: Iterable[str]) -> dict[str, float]:
    """Return the alphas of the layers for which the order of patterns decides."""
    found = {}
    for site in sites:
        try:
            check_order(path, config, site)
        except CompositionError:
            found[site] = _number(path, config, "alpha_pattern", site, "lora_alpha")
    return found


def _number(path: Path, config: Mapping[str, Any], patterns: str, site: str, key: str) -> float:
    """Return what a configuration says of a layer: by pattern, or else by ``key``.

    Raises:
        CompositionError: If that is no finite number, or the patterns are none.
    """
    try:
        value = next((v for _, v in _matching(config.get(patterns), site)), config.get(key))
    except (AttributeError, TypeError, re.error):
        raise CompositionError(
            f"{path / CONFIG}: {patterns} must map patterns of layer names to numbers; got "
            f"{config[patterns]!r}"
        ) from None
    if not _is_number(value):
        raise CompositionError(f"{path / CONFIG}: {key} of {site} must be a number; got {value!r}")
    return value


def _is_number(value: Any) -> TypeGuard[float]:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value)


def _matching(patterns: Mapping[str, Any] | None, site: str) -> Iterator[tuple[str, Any]]:
    """Yield the patterns that end the site's name, with their values, matched as PEFT does."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", site):
            yield pattern, value
