"""The installed components, and the families of bases."""

from __future__ import annotations

from _generate.markdown import code, plain, table
from selfmoe.registry.registry import OWN, Entry, Registry, registry


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


def families() -> str:
    """Return the families of decoders that the tests hold selfmoe on."""
    from selfmoe.testing.families import FAMILIES

    names = sorted({family.model_type for family in FAMILIES.values()})
    return f"{', '.join(code(name) for name in names)}\n"
