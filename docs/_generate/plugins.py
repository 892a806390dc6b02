"""The installed components and the hooks that bring them."""

from __future__ import annotations

import inspect
from types import ModuleType

from _generate.markdown import code, paragraphs, plain, table
from selfmoe import hookspecs
from selfmoe.registry import KINDS, OWN, Entry, Registry, registry


def own(kind: str | None = None, found: Registry | None = None) -> list[Entry]:
    """Return the components of this distribution, of one kind or of all."""
    entries = (found or registry()).entries()
    return [e for e in entries if e.plugin.distribution == OWN and kind in (None, e.kind)]


def installed(found: Registry | None = None) -> str:
    """Return every component that ships with selfmoe."""
    rows = [
        (
            entry.kind,
            _linked(code(entry.cls.name), entry.cls.reference_url),
            plain(entry.cls.summary()),
            "yes" if entry.cls.default else "",
            code(entry.cls.__module__.partition(".")[0]),
        )
        for entry in own(None, found)
    ]
    return table(("kind", "name", "what it is", "default", "package"), rows)


def _linked(text: str, url: str) -> str:
    return f"[{text}]({url})" if url else text


def hooks(module: ModuleType = hookspecs) -> str:
    """Return every hook with its signature, what it returns and what its classes extend."""
    bases = dict(KINDS.values())
    rows = []
    for name, function in vars(module).items():
        if hasattr(function, "selfmoe_spec"):
            about = plain(paragraphs(inspect.cleandoc(function.__doc__ or ""))[0])
            returns = inspect.signature(function).return_annotation
            base = f"`selfmoe.components.{bases[name].__name__}`" if name in bases else ""
            rows.append((code(f"{name}{_arguments(function)}"), code(returns), base, about))
    return table(("hook", "returns", "classes extend", "meaning"), rows)


def _arguments(function: object) -> str:
    assert callable(function)
    return f"({', '.join(inspect.signature(function).parameters)})"


def families() -> str:
    """Return the families of decoders that the tests hold selfmoe on."""
    from selfmoe.testing.families import FAMILIES

    names = sorted({family.model_type for family in FAMILIES.values()})
    return f"{', '.join(code(name) for name in names)}\n"
