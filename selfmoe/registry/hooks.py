"""The hooks of a plugin: pluggy finds them, checks them against the specifications, calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from itertools import islice
from types import ModuleType
from typing import Any

import pluggy

from selfmoe.contracts import hookspecs
from selfmoe.contracts.errors import did_you_mean
from selfmoe.registry.problem import Problem, explain

MOST = 1000
"""Components a hook may return; a generator need not end."""


def manager() -> pluggy.PluginManager:
    """Return a manager that knows the hooks of selfmoe, and no plugin."""
    made = pluggy.PluginManager("selfmoe")
    made.add_hookspecs(hookspecs)
    return made


def names() -> list[str]:
    """Return the names of all hooks, in the order of their specifications."""
    return [name for name, value in vars(hookspecs).items() if hasattr(value, "selfmoe_spec")]


def registered(module: Any, problems: list[Problem]) -> pluggy.PluginManager:
    """Return a manager with the hooks of one plugin; add what is wrong with those it refuses.

    Each is registered by itself, so that what is wrong with one does not hide the others.

    Args:
        module: The plugin.
        problems: What was found wrong with it.
    """
    hooks = manager()
    for attribute in dir(module):
        options = hooks.parse_hookimpl_opts(module, attribute)
        if options is None:
            continue
        alone = ModuleType(attribute)
        setattr(alone, attribute, function := getattr(module, attribute))
        try:
            hooks.register(alone, attribute)
            hooks.check_pending()
        except pluggy.PluginValidationError:
            hooks.unregister(name=attribute)
            problems.append(_refused(options.get("specname") or attribute, function))
    return hooks


def returned(hooks: pluggy.PluginManager, name: str, problems: list[Problem]) -> list[Any]:
    """Return what a plugin returns for a hook; add what is wrong with that.

    Args:
        hooks: As ``registered`` returns it.
        name: Of the hook.
        problems: What was found wrong with the plugin.

    Raises:
        KeyboardInterrupt: If the user stops it.
    """
    hook: pluggy.HookCaller = getattr(hooks.hook, name)
    if not hook.get_hookimpls():
        return []
    try:
        results = hook() or [None]  # pluggy leaves out what is None
        return [cls for classes in results for cls in _listed(name, classes, problems)]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it raises, the other plugins go on
        text = f"{name} failed: {explain(error)}"
        problems.append(Problem(text, "Only return classes; leave work to their methods."))
        return []


def _refused(name: str, function: Callable[..., Any]) -> Problem:
    """Return why pluggy does not take a function for a hook."""
    known = names()
    if name not in known:
        text = f"implements unknown hook '{name}'{did_you_mean(name, known)}"
        return Problem(text, f"Hooks: {', '.join(known)}.")
    given = ", ".join(map(repr, inspect.signature(function).parameters))
    text = f"{name} takes {given}, but the hook passes no arguments"
    return Problem(text, f"Write: def {name}():")


def _listed(name: str, classes: Any, problems: list[Problem]) -> list[Any]:
    """Return the classes in a list; empty if there is a problem with it."""
    if not isinstance(classes, Iterable):
        text = f"{name} returned {classes!r}; it must return a list of classes"
        problems.append(Problem(text, "Return the classes in a list, be it of one."))
        return []
    listed = list(islice(classes, MOST + 1))
    if len(listed) > MOST:
        text = f"{name} returned more than {MOST} classes"
        problems.append(Problem(text, "Return a list that ends."))
        return []
    return listed
