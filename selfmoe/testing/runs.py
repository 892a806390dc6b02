"""A whole run in seconds, on a toy base, with the components under test taking part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from selfmoe.api import run as api
from selfmoe.config.layers import merge
from selfmoe.contracts.component import Component
from selfmoe.registry.registry import Registry
from selfmoe.testing.fakes import OtherToyDomain, ToyDomain, ToyMerge, ToyRouter, ToyTrainer
from selfmoe.testing.registries import Provider, kind_of, registry_of

TOYS: tuple[type[Component], ...] = (ToyDomain, OtherToyDomain, ToyTrainer, ToyRouter, ToyMerge)

SETTINGS: Mapping[str, Any] = {
    "seeds": {"n": 6},
    "brainstorm": {"n": 6, "batch_size": 6, "max_new_tokens": 32, "shots": 2},
    "respond": {"batch_size": 6, "max_new_tokens": 32, "shots": 2},
    "specialise": {"trainer": "toy"},
    "evaluate": {"limit": 3, "batch_size": 3, "base_shots": 0},
}
"""Budgets of a toy run."""


def toy_run(
    *providers: Provider,
    base: Path,
    out: Path,
    patch: pytest.MonkeyPatch,
    settings: Mapping[str, Any],
) -> api.Run:
    """Return a finished run in which the given components take part, and toys otherwise.

    Args:
        providers: Plugin modules and component classes; nothing else that is installed is there.
        base: A saved base, for a run without a base among the components.
        out: Where the run directory is made.
        patch: Makes the run's registry that of these components, for as long as it lasts.
        settings: What to set otherwise than a toy run does.

    Raises:
        SelfmoeError: If the run stops.
    """
    given = registry_of(*providers)
    names = {(entry.kind, entry.cls.name) for entry in given.entries()}
    free = [toy for toy in TOYS if (kind_of(toy), toy.name) not in names]
    known = registry_of(*providers, *free)
    patch.setattr("selfmoe.config.model.registry", lambda local=None: known)
    return api.run(merge(SETTINGS, _parts(given, base), {"out": str(out)}, settings))


def _parts(given: Registry, base: Path) -> dict[str, Any]:
    """Return settings that let every given component take part."""
    toys = [ToyDomain.name, OtherToyDomain.name]
    routers, merges = given.names("router") or ["toy"], given.names("merge") or ["toy"]
    return {
        "base": next(iter(given.names("base")), str(base)),
        "domains": [*given.names("domain"), *toys][: max(2, len(given.names("domain")))],
        "specialise": {"trainer": next(iter(given.names("trainer")), "toy")},
        "compose": {
            **{f"router-{name}": {"router": name} for name in routers},
            **{f"merge-{name}": {"merge": name} for name in merges},
        },
    }
