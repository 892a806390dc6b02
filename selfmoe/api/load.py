"""Loading a system of a finished run as a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError, SelfmoeError, unknown_name
from selfmoe.contracts.paths import expand
from selfmoe.contracts.records import EXPERT, System
from selfmoe.mixture.systems import attach_system
from selfmoe.store.directory import RunDirectory, command_for
from selfmoe.store.files import damage

if TYPE_CHECKING:
    from torch.nn import Module

    from selfmoe.contracts.records import LoadedBase
    from selfmoe.mixture.trainable import Trainable


def load(
    run: str | Path,
    system: str = "mixse",
    *,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
    trainable: Trainable = None,
) -> tuple[Module, Any]:
    """Return a system of a run, ready to generate, and its tokenizer.

    Args:
        run: The run's folder.
        system: ``base``, ``expert-<name>`` or a composition's label.
        seed: Root seed of the pipeline it is taken from; default: the run's first.
        device: Where to put it; default: as the run's settings say.
        dtype: Number format of the base; default: as the run's settings say.
        check: Read two tokens with a cache and without, and refuse a mixture where they differ.
        trainable: What is left open to training, as in ``selfmoe.compose``.

    Returns:
        The model, frozen but for that and in eval mode; ``model.mixture`` is the handle to record
        routing with and to detach, where something is attached. The tokenizer pads on the left.

    Raises:
        RunError: If the folder holds no finished run, or the system could not be made.
        UnknownNameError: If the run has no such system, or there is no such part to train.
        CompositionError: If the system does not fit the base, or the check finds that this model's
            cache is not followed.
        NotSupportedError: If the system has no such part.
    """
    base = load_system(expand(run), system, seed, device=device, dtype=dtype, check=check)
    if trainable:
        from selfmoe.mixture.handle import mixture_of
        from selfmoe.mixture.loading import put_to_use

        put_to_use(mixture_of(base.model), trainable)
    return base.model, base.tokenizer


def load_system(
    root: Path,
    system: str,
    seed: int | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
) -> LoadedBase:
    """Return the base of a run with a system attached; see ``load``."""
    from selfmoe.models.base import find_base, load_base

    manifest = RunDirectory(root).manifest()
    instead = {"device": device, "dtype": dtype}
    settings = manifest["config"] | {k: v for k, v in instead.items() if v is not None}
    config = resolve(settings, str(root / "manifest.json"))
    chosen = str(config.root_seeds[0] if seed is None else seed)
    if chosen not in manifest["cells"]:
        raise unknown_name("root seed", chosen, manifest["cells"])
    made = _made(root, manifest, chosen)
    if system not in made:
        raise _not_made(system, manifest, chosen, made)
    files = find_base(config)
    again = command_for(root / "config.yaml")
    if files.hash != manifest["base"]["hash"]:
        raise RunError(
            f"the base '{files.name}' is not the one this run was made with (hash {files.hash}, "
            f"not {manifest['base']['hash']})\n  This makes the run again with it: {again}"
        )
    cell = made[system]
    problem = damage(cell) if cell else None
    if problem:
        raise RunError(f"cell damaged: {problem}\n  This makes it again: {again}")
    base = load_base(files, config)
    named = System(system, manifest["systems"][system])
    attach_system(base, named, cell, config.registry, check=check)
    return base


def _made(root: Path, manifest: Mapping[str, Any], seed: str) -> dict[str, Path | None]:
    """Return the folder of what makes each system that there is; ``None`` for the base itself."""
    cells = manifest["cells"][seed]
    found: dict[str, Path | None] = {}
    for name, kind in manifest["systems"].items():
        if kind == "base":
            found[name] = None
        elif (cell := cells.get(_maker(name, kind))) is not None:
            found[name] = root / str(cell["path"])
    return found


def _maker(system: str, kind: str) -> str:
    """Return the name of the cell that makes a system."""
    return f"specialise/{system.removeprefix(EXPERT)}" if kind == "expert" else f"compose/{system}"


def _not_made(
    system: str, manifest: Mapping[str, Any], seed: str, made: Mapping[str, Any]
) -> SelfmoeError:
    kind = manifest["systems"].get(system)
    if kind is None:
        return unknown_name("system", system, made)
    why = manifest.get("missing", {}).get(seed, {}).get(_maker(system, kind), "the run lacks it")
    return RunError(f"'{system}' was not made: {why}\n  Available: {', '.join(sorted(made))}.")
