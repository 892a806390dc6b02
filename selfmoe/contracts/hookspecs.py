"""Everything a plugin can add to selfmoe.

A plugin is a module with ``SELFMOE_API = 1`` and one or more of these functions, each marked
with ``@selfmoe.hookimpl``, named by an entry point of the group ``selfmoe``. Hooks are called
once, when selfmoe first needs its components; plugins are asked in the order of their names.
Two plugins that offer one name are an error that names both.

Entry-point modules must import quickly: no torch, transformers, peft, datasets or lm_eval at
the top. Put what needs them in a second module and import that inside methods.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from selfmoe.contracts.backend import Backend
from selfmoe.contracts.base import Base
from selfmoe.contracts.composer import Merge, Router
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.executor import Executor
from selfmoe.contracts.trainer import Trainer

API = 1
"""The major version of this contract; plugins state the one they were written for."""

HEAVY = ("torch", "transformers", "peft", "datasets", "lm_eval")
"""What an entry-point module must not import, nor its hooks."""

hookspec = pluggy.HookspecMarker("selfmoe")
hookimpl = pluggy.HookimplMarker("selfmoe")
"""Marks a function of a plugin as one of the hooks."""


@hookspec
def register_bases() -> Iterable[type[Base]]:  # type: ignore[empty-body]
    """Return the base models this plugin brings. Since 0.1."""


@hookspec
def register_domains() -> Iterable[type[Domain]]:  # type: ignore[empty-body]
    """Return the domains: where seeds come from, prompts, how answers are scored. Since 0.1."""


@hookspec
def register_trainers() -> Iterable[type[Trainer]]:  # type: ignore[empty-body]
    """Return the ways to make an expert out of examples. Since 0.1."""


@hookspec
def register_routers() -> Iterable[type[Router]]:  # type: ignore[empty-body]
    """Return the composers that choose experts while the model runs. Since 0.1."""


@hookspec
def register_merges() -> Iterable[type[Merge]]:  # type: ignore[empty-body]
    """Return the composers that fuse experts once, before the model runs. Since 0.1."""


@hookspec
def register_backends() -> Iterable[type[Backend]]:  # type: ignore[empty-body]
    """Return the programs that write texts with a base, such as servers of it. Since 0.1."""


@hookspec
def register_executors() -> Iterable[type[Executor]]:  # type: ignore[empty-body]
    """Return the ways to do the work of a run by several processes. Since 0.1."""
