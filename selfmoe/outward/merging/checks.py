"""What is wrong with a merge, said before the base is loaded."""

from __future__ import annotations

from typing import get_args

from selfmoe.config.model import RunConfig
from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import (
    CompositionError,
    ConfigError,
    NotSupportedError,
    RunError,
    unknown_name,
)
from selfmoe.models.base import BaseFiles, is_base
from selfmoe.outward.merging.model import Format, Part, Wanted
from selfmoe.registry.registry import registry


def check_request(wanted: Wanted) -> None:
    """Refuse what does not go together, and a folder that is there.

    Raises:
        ConfigError: If no adapter is named, or an option has no meaning for the format.
        RunError: If the folder exists.
        UnknownNameError: If there is no such format.
    """
    if wanted.format not in get_args(Format):
        raise unknown_name("format", wanted.format, get_args(Format))
    if not wanted.adapters:
        raise ConfigError("merge: no adapter is named\n  Name the folders of PEFT LoRA adapters.")
    if wanted.out.exists() or wanted.out.is_symlink():
        raise RunError(f"{wanted.out} exists\n  Name a folder that does not exist with --out.")
    if wanted.format == "hf" and wanted.rank is not None:
        raise ConfigError(
            f"--rank {wanted.rank}: a model has no rank\n  Leave it out, or add --format peft."
        )
    if wanted.format == "peft" and wanted.dtype != "auto":
        raise ConfigError(
            f"--dtype {wanted.dtype}: adapters are written in float32\n  Leave it out."
        )
    if wanted.rank is not None and wanted.rank < 1:
        raise ConfigError(f"--rank {wanted.rank}: must be at least 1")


def composer_of(wanted: Wanted) -> Composer:
    """Return the merge with its options.

    Raises:
        NotSupportedError: If it learns from examples, of which there are none here.
    """
    names = registry()
    composer: Composer = names.configure("merge", wanted.method, dict(wanted.options))
    if "data" in composer.needs:
        others = [name for name in names.names("merge") if not _learns(name)]
        raise NotSupportedError(
            f"merge '{wanted.method}' trains on the examples that the adapters were trained on, "
            "and adapters alone bring none\n"
            f"  Merges that need adapters only: {', '.join(others)}. With examples: "
            f"selfmoe.compose(model, adapters, merge='{wanted.method}', data=…) in Python."
        )
    if problem := composer.check(len(wanted.adapters)):
        raise CompositionError(f"merge '{wanted.method}': {problem}")
    return composer


def _learns(name: str) -> bool:
    return "data" in registry().get("merge", name).needs


def check_adapters(wanted: Wanted, files: BaseFiles) -> dict[str, Part]:
    """Return what is known of every adapter; refuse those that do not fit the base."""
    from selfmoe.mixture.adapters import adapter_hash, read_factors
    from selfmoe.mixture.sites.compatibility import check_expert, skeleton

    model, found = skeleton(files.path), {}
    for name, path in wanted.adapters.items():
        rank = max(part.rank for part in read_factors(path).values())
        found[name] = Part(str(path), adapter_hash(path), rank)
        if model is not None:
            check_expert(name, path, model)
    return found


def strangers(wanted: Wanted, files: BaseFiles, config: RunConfig) -> list[str]:
    """Return which adapters say that they were made for another base."""
    from selfmoe.mixture.adapters import made_for

    named = {name: (made_for(path), path) for name, path in wanted.adapters.items()}
    return [
        f"{name} was made for '{other}', as it says; its shapes fit {files.name}"
        for name, (other, path) in named.items()
        if other is not None and not is_base(other, files, config, near=path)
    ]
