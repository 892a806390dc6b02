"""Loading a system of a finished run as a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError, SelfmoeError, unknown_name
from selfmoe.contracts.names import CellName
from selfmoe.contracts.paths import expand
from selfmoe.contracts.records import Instruction, System
from selfmoe.mixture.systems import attach_system
from selfmoe.store.directory import directory_of
from selfmoe.store.files import check_intact
from selfmoe.store.manifest import Manifest

if TYPE_CHECKING:
    from torch.nn import Module

    from selfmoe.config.model import RunConfig
    from selfmoe.contracts.records import LoadedBase
    from selfmoe.mixture.trainable import Trainable
    from selfmoe.models.base import BaseFiles


def load(
    run: str | Path,
    system: str | None = None,
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
        system: ``base``, ``expert-<name>`` or a composition's label; default: the run's first
            routed composition, or its only composition.
        seed: Root seed of the pipeline it is taken from; default: the run's first.
        device: Where to put it; default: as the run's settings say.
        dtype: Number format of the base; default: as the run's settings say.
        check: Read two tokens with a cache and without, and refuse a mixture where they differ.
        trainable: What is left open to training, as in ``selfmoe.compose``.

    Returns:
        The model, frozen but for that and in eval mode; ``model.mixture`` is the handle to record
        routing with and to detach, where something is attached. The tokenizer pads on the left.
        How to ask in the template of the run, ``selfmoe.prompt_ids`` says; ``generate`` ends where
        answers end in it.

    Raises:
        RunError: If the folder holds no finished run, the system could not be made, or none is
            named and the run has no routed system but several compositions, or none.
        UnknownNameError: If the run has no such system, or there is no such part to train.
        CompositionError: If the system does not fit the base, or the check finds that this model's
            cache is not followed.
        NotSupportedError: If the system has no such part.
    """
    root = expand(run)
    chosen = default_system(root) if system is None else system
    base = load_system(root, chosen, seed, device=device, dtype=dtype, check=check)
    end_turns(base)
    if trainable:
        from selfmoe.mixture.handle import mixture_of
        from selfmoe.mixture.loading import put_to_use

        put_to_use(mixture_of(base.model), trainable)
    return base.model, base.tokenizer


def prompt_ids(run: str | Path, tokenizer: Any, instruction: str, text: str = "") -> list[int]:
    """Return the tokens of a task as it is put to the experts of a run.

    Args:
        run: The run's folder.
        tokenizer: That of its base, as ``load`` returns it.
        instruction: What to do.
        text: The input that the instruction is about, if it has one.

    Raises:
        RunError: If the folder holds no finished run.
        DataError: If the run asks in a chat template that the tokenizer lacks.
    """
    from selfmoe.models.asking import prompt_of
    from selfmoe.models.tokens import prompt_ids as encoded

    root = expand(run)
    config = resolve(directory_of(root).manifest().config, str(root / "manifest.json"))
    template = config.prompts.template
    assert template != "auto"  # the manifest says what it stands for
    return encoded(tokenizer, prompt_of(Instruction(instruction, text), tokenizer, template))


def end_turns(base: LoadedBase) -> None:
    """Let ``generate`` of a model end where an assistant's turn does, if it is asked in a chat."""
    from selfmoe.models.asking import chat_in
    from selfmoe.models.generation.stopping import ends_of

    model: Any = base.model
    if chat := chat_in(base):
        ends = {chat.end, *ends_of(model, base.tokenizer)} - {None}
        model.generation_config.eos_token_id = sorted(ends)


def default_system(root: Path) -> str:
    """Return what is meant where no system is named: the first that routes, or the only one.

    Args:
        root: The run's folder.

    Raises:
        RunError: If the folder holds no finished run, or one without routed systems that has
            several compositions, or none.
    """
    systems = directory_of(root).manifest().systems
    routed = [name for name, kind in systems.items() if kind == "router"]
    composed = [name for name, kind in systems.items() if kind in ("router", "merge")]
    if routed or len(composed) == 1:
        return (routed or composed)[0]
    raise RunError(
        f"{root} has no system that routes, so the one that is meant must be named\n"
        f"  Available: {', '.join(systems)}."
    )


def load_system(
    root: Path,
    system: str,
    seed: int | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
) -> LoadedBase:
    """Return the base of a run with a system attached; see ``load``.

    Raises:
        RunError: If the folder holds no finished run, or the system could not be made.
        UnknownNameError: If the run has no such system or root seed.
    """
    return open_system(root, system, seed, device=device, dtype=dtype, check=check).base


@dataclass(frozen=True)
class Opened:
    """A system of a run at work on its base, and where both are from.

    Attributes:
        base: The base; its model carries the system.
        system: What is attached.
        cell: The folder of what made it; ``None`` for the base itself.
        files: Where the base lies.
        config: The run's settings, with the registry of its components.
        seed: The root seed it is of.
    """

    base: LoadedBase
    system: System
    cell: Path | None
    files: BaseFiles
    config: RunConfig
    seed: str


def open_system(
    root: Path,
    system: str,
    seed: int | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
) -> Opened:
    """Return a system of a run attached to its base, with where both are from; see ``load``.

    Raises:
        RunError: If the folder holds no finished run, or the system could not be made.
        UnknownNameError: If the run has no such system or root seed.
    """
    from selfmoe.models.base import check_same, find_base, load_base

    directory = directory_of(root)
    manifest = directory.manifest()
    instead = {"device": device, "dtype": dtype}
    settings = manifest.config | {k: v for k, v in instead.items() if v is not None}
    config = resolve(settings, str(root / "manifest.json"))
    chosen = manifest.chosen(config.root_seeds[0] if seed is None else seed)
    named, cell = find_system(root, manifest, chosen, system)
    files = find_base(config)
    check_same(files, manifest.base, directory.again)
    if cell is not None:
        check_intact(cell, directory.again)
    base = load_base(files, config)
    attach_system(base, named, cell, config.registry, check=check)
    return Opened(base, named, cell, files, config, chosen)


def find_system(
    root: Path, manifest: Manifest, seed: str, system: str
) -> tuple[System, Path | None]:
    """Return a system of a root seed, and the folder of what makes it; ``None`` for the base.

    Raises:
        RunError: If it could not be made.
        UnknownNameError: If the run has no such system.
    """
    made = _made(root, manifest, seed)
    named = manifest.system(system)
    if named is None or system not in made:
        raise _not_made(system, manifest, seed, made)
    return named, made[system]


def _made(root: Path, manifest: Manifest, seed: str) -> dict[str, Path | None]:
    """Return the folder of what makes each system that there is; ``None`` for the base itself."""
    found: dict[str, Path | None] = {}
    for name, kind in manifest.systems.items():
        if kind == "base":
            found[name] = None
        elif (cell := manifest.cell(seed, _maker(System(name, kind)))) is not None:
            found[name] = root / cell.path
    return found


def _maker(system: System) -> CellName:
    """Return the name of the cell that makes a system."""
    if system.kind == "expert":
        return CellName("specialise", system.expert)
    return CellName("compose", system.name)


def _not_made(system: str, manifest: Manifest, seed: str, made: Iterable[str]) -> SelfmoeError:
    known = manifest.system(system)
    if known is None:
        return unknown_name("system", system, made)
    why = manifest.why_missing(seed, _maker(known)) or "the run lacks it"
    return RunError(f"'{system}' was not made: {why}\n  Available: {', '.join(sorted(made))}.")
