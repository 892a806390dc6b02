"""The systems of a run: the base, its experts, and every composition of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selfmoe.contracts.records import Expert, LoadedBase, System

if TYPE_CHECKING:
    from selfmoe.mixture.handle import Mixture
    from selfmoe.registry.registry import Registry


@contextlib.contextmanager
def attached(
    base: LoadedBase, system: System, path: Path | None, names: Registry
) -> Iterator[Mixture | None]:
    """Put a system to work on the base while the context lasts.

    Args:
        base: The base; it is given back bit for bit.
        system: What to attach.
        path: The cell that made it; ``None`` for the base itself.
        names: Where its composer is looked up.

    Yields:
        The mixture, or ``None`` for the base.
    """
    mixture = attach_system(base, system, path, names)
    try:
        yield mixture
    finally:
        if mixture is not None:
            mixture.detach()


def attach_system(
    base: LoadedBase,
    system: System,
    path: Path | None,
    names: Registry,
    *,
    check: bool = True,
    live: int | None = None,
) -> Mixture | None:
    """Put a system to work on the base for good; see ``attached``.

    Args:
        base: The base.
        system: What to attach.
        path: The cell that made it; ``None`` for the base itself.
        names: Where its composer is looked up.
        check: Read two tokens with a cache and without, and refuse a mixture where they differ.
        live: How many experts a routed block keeps in memory, as in ``selfmoe.compose``.

    Raises:
        CompositionError: If the stored system does not fit the base.
    """
    from selfmoe.mixture import runtime, storage

    if path is None:
        return None
    if system.kind == "expert":
        return runtime.attach_expert(base.model, Expert(system.expert, path))
    composition = storage.read_composition(path, base_hash=base.hash)
    kind: Literal["router", "merge"] = "router" if system.kind == "router" else "merge"
    composer = names.configure(kind, composition.composer, composition.options)
    experts = {
        ref.name: Expert(ref.name, (path / ref.path).resolve()) for ref in composition.experts
    }
    return runtime.attach(
        base.model, composer, composition, experts, blocks=base.blocks, check=check, live=live
    )
