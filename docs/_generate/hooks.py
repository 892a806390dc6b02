"""The hooks: what each is given and returns, when it is asked, and an example that works."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from _generate.markdown import block, code, said, table
from _generate.quotes import EXAMPLES, quoted
from selfmoe.contracts import hookspecs
from selfmoe.registry.discovery import import_file
from selfmoe.registry.registry import KINDS, Registry

Hook = Callable[..., Any]

USED = {
    "register_bases": "as `base`, or `--base`",
    "register_domains": "in the list `domains`, in `define`, and by `selfmoe add-expert`",
    "register_trainers": "as `specialise.trainer`",
    "register_routers": "as `compose.<label>.router`",
    "register_merges": "as `compose.<label>.merge`",
    "register_backends": "as `generate.backend`, or `--generate`",
    "register_executors": "as `execute.executor`, or `--executor`",
}
"""Hook -> where settings name what it registers."""


def specs(module: ModuleType = hookspecs) -> dict[str, Hook]:
    """Return every hook by its name, in the order of the module."""
    return {name: f for name, f in vars(module).items() if hasattr(f, "selfmoe_spec")}


def overview(module: ModuleType = hookspecs) -> str:
    """Return one row a hook."""
    bases = dict(KINDS.values())
    rows = []
    for name, function in specs(module).items():
        about = said(function.__doc__, name)
        base = f"`selfmoe.contracts.{bases[name].__name__}`" if name in bases else ""
        returns = inspect.signature(function).return_annotation
        link = f"[{code(f'{name}({_arguments(function)})')}](#{name})"
        rows.append((link, code(returns), base, about))
    return table(("hook", "returns", "classes extend", "meaning"), rows)


def _arguments(function: Hook) -> str:
    return ", ".join(inspect.signature(function).parameters)


def sections(module: ModuleType = hookspecs, used: Mapping[str, str] = USED) -> str:
    """Return one section a hook.

    Raises:
        LookupError: If a hook lacks an entry or an example here, or one of these lacks a hook.
    """
    names, shown = set(specs(module)), {path.stem for path in (EXAMPLES / "hooks").glob("*.py")}
    if odd := sorted((names ^ set(used)) | (names ^ shown)):
        raise LookupError(
            "selfmoe/contracts/hookspecs.py, docs/_generate/hooks.py and docs/examples/hooks "
            "differ: " + ", ".join(odd)
        )
    return "\n".join(
        part for name, hook in specs(module).items() for part in _section(name, hook, used[name])
    )


def _section(name: str, hook: Hook, used: str) -> Iterator[str]:
    kind, base = next((kind, base) for kind, (hook, base) in KINDS.items() if hook == name)
    yield f"### `{name}`\n"
    returns = inspect.signature(hook).return_annotation
    yield block("python", f"def {name}({_arguments(hook)}) -> {returns}: ...")
    yield said(hook.__doc__, name) + "\n"
    yield (
        f"**Returns** classes, not objects, that extend `selfmoe.contracts.{base.__name__}`. "
        f"A run names them {used}.\n"
    )
    yield f"**On a clash** with a {kind} of that name the later plugin is refused:\n"
    yield block("text", clash(name))
    yield quoted(f"hooks/{name}.py")


def clash(name: str) -> str:
    """Return what becomes of the plugin of a hook's example where another offers the same name."""
    found, file = Registry(), EXAMPLES / "hooks" / f"{name}.py"
    for number in (1, 2):
        found.load(f"plugin-{number}", f"distribution-{number}", "1.0", lambda: import_file(file))
    return found.plugins[1].reason
