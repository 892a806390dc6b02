"""Loading a system of a finished run as a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError
from selfmoe.contracts.paths import expand
from selfmoe.contracts.records import Instruction
from selfmoe.mixture.systems import attach_system
from selfmoe.outward.opening import open_run
from selfmoe.store.directory import directory_of

if TYPE_CHECKING:
    from torch.nn import Module

    from selfmoe.contracts.records import LoadedBase
    from selfmoe.mixture.trainable import Trainable


def load(
    run: str | Path,
    system: str | None = None,
    *,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
    trainable: Trainable = None,
    live: int | None = None,
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
        live: How many experts a routed block keeps in memory, as in ``selfmoe.compose``.

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
    base = load_system(root, chosen, seed, device=device, dtype=dtype, check=check, live=live)
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
    live: int | None = None,
) -> LoadedBase:
    """Return the base of a run with a system attached; see ``load``.

    Raises:
        RunError: If the folder holds no finished run, or the system could not be made.
        UnknownNameError: If the run has no such system or root seed.
    """
    run = open_run(root, seed, device=device, dtype=dtype)
    named, cell = run.find(system)
    base = run.load_base()
    attach_system(base, named, cell, run.config.registry, check=check, live=live)
    return base
