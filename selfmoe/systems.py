"""The systems of a run: the base, its experts, and every composition of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selfmoe.records import Composition, Expert, LoadedBase

if TYPE_CHECKING:
    from selfmoe.mixture.runtime import Mixture
    from selfmoe.plan import Plan, Task
    from selfmoe.registry import Registry

BASE = "base"
EXPERT = "expert-"


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers benchmarks.

    Attributes:
        name: ``base``, ``base-<N>shot``, ``expert-<name>``, or a composition's label.
        kind: What it is made by.
        shots: Solved examples it is shown on benchmarks that prescribe none; ``None``: none.
    """

    name: str
    kind: Literal["base", "expert", "router", "merge"]
    shots: int | None = None


def systems_of(plan: Plan) -> Iterator[tuple[System, Task | None]]:
    """Yield every system of a plan with the task that makes it (none for the base)."""
    yield System(BASE, "base"), None
    shots = plan.config.evaluate.base_shots
    if shots and plan.config.track == "mini":
        yield System(f"{BASE}-{shots}shot", "base", shots), None
    for name, task in plan.of("specialise").items():
        yield System(f"{EXPERT}{name}", "expert"), task
    made = plan.of("compose")
    for label, entry in (plan.config.compose or {}).items():
        yield System(label, "router" if entry.router else "merge"), made[label]


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
    mixture = attach(base, system, path, names)
    try:
        yield mixture
    finally:
        if mixture is not None:
            mixture.detach()


def attach(
    base: LoadedBase, system: System, path: Path | None, names: Registry, *, check: bool = True
) -> Mixture | None:
    """Put a system to work on the base for good; see ``attached``.

    Args:
        base: The base.
        system: What to attach.
        path: The cell that made it; ``None`` for the base itself.
        names: Where its composer is looked up.
        check: Read two tokens with a cache and without, and refuse a mixture where they differ.

    Raises:
        CompositionError: If the stored system does not fit the base.
    """
    from selfmoe.mixture import runtime, storage
    from selfmoe.mixture.doors import guard

    if path is None:
        return None
    if system.kind == "expert":
        name = system.name.removeprefix(EXPERT)
        expert = Expert(name, path)
        mixture = runtime.Mixture(
            base.model, Composition("expert", {}, (), owned={name: path}), [name]
        )
        try:
            mixture.add_adapters([expert.factors()])
            guard(mixture)
        except BaseException:
            mixture.detach()
            raise
        return mixture
    composition = storage.load(path, base_hash=base.hash)
    kind: Literal["router", "merge"] = "router" if system.kind == "router" else "merge"
    composer = names.configure(kind, composition.composer, composition.options)
    experts = {
        ref.name: Expert(ref.name, (path / ref.path).resolve()) for ref in composition.experts
    }
    return runtime.attach(
        base.model, composer, composition, experts, blocks=base.blocks, check=check
    )
