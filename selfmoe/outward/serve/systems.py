"""The systems of a run on one loaded base: each a twin of its model that shares all its weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import chain
from typing import Any

from selfmoe.contracts.errors import CompositionError, RunError, unknown_name
from selfmoe.contracts.records import LoadedBase, System
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.storage import expert_names
from selfmoe.mixture.systems import attach_system
from selfmoe.outward.opening import OpenRun


class Systems:
    """The systems of a run; one is put on the base when it is asked for first, and stays.

    An expert costs its adapter; a merge, where it replaces weights, a copy of these.

    Args:
        run: The run.
        base: Its base, with nothing on it.

    Attributes:
        name: The name of the run's folder.
        base: The base.
        kinds: What each system is made by, by its name.
    """

    def __init__(self, run: OpenRun, base: LoadedBase) -> None:
        self.name, self.base, self._run = run.directory.root.resolve().name, base, run
        made = {name: run.manifest.systems[name] for name in run.made()}
        self.kinds = {n: k for n, k in made.items() if k != "base" or n == System.base().name}
        self._routed = {n: p for n, p in run.made().items() if self.kinds.get(n) == "router" and p}
        self._loaded: dict[str, LoadedBase] = {}

    def default(self) -> str:
        """Return what is meant where no system is named: the run's only mixture with a router.

        Raises:
            RunError: If there are several, or none.
        """
        routed = [name for name, kind in self.kinds.items() if kind == "router"]
        if len(routed) == 1:
            return routed[0]
        why = f"several systems that route ({', '.join(routed)})" if routed else "no such system"
        raise RunError(
            f"{self._run.directory.root} has {why}, so the one that is meant must be named\n"
            f"  Available: {', '.join(self.kinds)}."
        )

    def full(self, system: str) -> str:
        """Return the name by which clients know a system: ``RUN/system``."""
        return f"{self.name}/{system}"

    def named(self, model: str) -> str:
        """Return the system that a client means, by its full name or its own.

        Raises:
            UnknownNameError: If there is none.
        """
        system = model.removeprefix(f"{self.name}/")
        if system not in self.kinds:
            raise unknown_name("model", self.full(system), map(self.full, self.kinds))
        return system

    def experts(self, system: str) -> list[str]:
        """Return the names of the experts that a system routes tokens to, in gate order."""
        folder = self._routed.get(system)
        return [] if folder is None else expert_names(folder)

    def load(self, system: str) -> LoadedBase:
        """Return the base with a system on it.

        Raises:
            RunError: If what makes it is damaged.
            CompositionError: If it does not fit the base.
        """
        if system not in self._loaded:
            named, cell = self._run.find(system)
            base = self.base
            if cell is not None:
                base = replace(base, model=twin(base.model))
                attach_system(base, named, cell, self._run.config.registry)
            self._loaded[system] = base
        return self._loaded[system]

    def mixture(self, system: str) -> Mixture | None:
        """Return the mixture of a system, or ``None`` for the base itself."""
        found: Any = getattr(self.load(system).model, "mixture", None)
        return found if isinstance(found, Mixture) else None


def twin(model: Any) -> Any:
    """Return a copy of a model whose weights are those of the model itself.

    What is done to the modules of one, such as routing, is not done to those of the other.

    Raises:
        CompositionError: If something is on it already.
    """
    if getattr(model, "mixture", None) is not None:
        raise CompositionError("a model with a mixture on it has no twin; take the base")
    shared = {id(one): one for one in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)
