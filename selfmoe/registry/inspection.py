"""What a plugin offers, and everything that is wrong with it.

The loader refuses a plugin for the first of these problems; ``selfmoe check-plugin`` shows all.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from selfmoe.contracts import hookspecs
from selfmoe.contracts.backend import Backend
from selfmoe.contracts.base import Base
from selfmoe.contracts.component import Component
from selfmoe.contracts.composer import Merge, Router
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.executor import Executor
from selfmoe.contracts.trainer import Trainer
from selfmoe.registry.hooks import names, registered, returned
from selfmoe.registry.problem import Problem

Kind = Literal["base", "domain", "trainer", "router", "merge", "backend", "executor"]

KINDS: Mapping[Kind, tuple[str, type[Component]]] = {
    "base": ("register_bases", Base),
    "domain": ("register_domains", Domain),
    "trainer": ("register_trainers", Trainer),
    "router": ("register_routers", Router),
    "merge": ("register_merges", Merge),
    "backend": ("register_backends", Backend),
    "executor": ("register_executors", Executor),
}
"""Kind of component -> the hook that registers it and the class it must extend."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""What components and systems may be called: safe as a folder, a key and a word on a line."""


@dataclass(frozen=True)
class Inspected:
    """What a plugin offers.

    Attributes:
        components: Kind and class of everything that can be used.
        problems: What is wrong; a plugin that has any is not used.
    """

    components: list[tuple[Kind, type[Component]]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def inspect_plugin(
    module: Any, provider: Callable[[Kind, str], str | None] = lambda kind, name: None
) -> Inspected:
    """Return what the module of an entry point offers; its hooks are called.

    Args:
        module: What the entry point names: a module.
        provider: Says who provides a component already, by kind and name.
    """
    found = Inspected()
    api = getattr(module, "SELFMOE_API", None)
    if api != hookspecs.API:
        found.problems.append(_api_problem(api))
    hooks = registered(module, found.problems)
    for kind, (hook, base) in KINDS.items():
        for cls in returned(hooks, hook, found.problems):
            problem = _class_problem(kind, base, cls) or _clash(kind, cls, found, provider)
            if problem:
                found.problems.append(problem)
            else:
                found.components.append((kind, cls))
    if not found.components and not found.problems:
        text = "registers nothing: no function is marked with selfmoe.hookimpl"
        advice = f"Write one of {', '.join(names())} and mark it with @hookimpl."
        found.problems.append(Problem(text, advice))
    return found


def _api_problem(api: Any) -> Problem:
    now = hookspecs.API
    if not isinstance(api, int):
        advice = f"Write SELFMOE_API = {now} in the module of the entry point."
        return Problem(f"does not state SELFMOE_API = {now}", advice)
    older = "the plugin" if api < now else "selfmoe"
    text = f"was written for plugin API {api}, this selfmoe has {now}; upgrade {older}"
    return Problem(text, f"Upgrade {older}; an author: see the hooks in the documentation.")


def _class_problem(kind: Kind, base: type, cls: Any) -> Problem | None:
    if not (isinstance(cls, type) and issubclass(cls, base)):
        text = f"{KINDS[kind][0]} returned {cls!r}, which is no subclass of {base.__name__}"
        return Problem(text, f"Extend selfmoe.contracts.{base.__name__}.")
    name = getattr(cls, "name", None)
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        text = (
            f"{cls.__name__}.name is {name!r}; allowed are up to 64 lower-case letters, "
            "digits, - and _"
        )
        return Problem(text, f"Give it a name, such as: name = {_possible(cls.__name__)!r}")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        text = f"{kind} '{name}' ({cls.__name__}) does not implement {missing}"
        return Problem(text, f"Write {missing}; see selfmoe.contracts.{base.__name__}.")
    return None


def _possible(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64] or "mine"


def _clash(
    kind: Kind,
    cls: type[Component],
    found: Inspected,
    provider: Callable[[Kind, str], str | None],
) -> Problem | None:
    own = any(kind == other and cls.name == its.name for other, its in found.components)
    owner = "the same plugin" if own else provider(kind, cls.name)
    return clash(kind, cls.name, owner) if owner else None


def clash(kind: Kind, name: str, owner: str) -> Problem:
    """Return the problem that ``owner`` provides a component of that name already."""
    return Problem(f"{kind} '{name}' is already provided by {owner}", "Choose another name.")
