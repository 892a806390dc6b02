"""Filling in a template: everything is escaped, and what cannot be seen is made visible."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from selfmoe.reporting.palette import COLOURS
from selfmoe.reporting.visible import short, visible


def fill(template: str, **content: Any) -> str:
    """Return a page.

    Args:
        template: Name of a file in ``templates/``.
        content: What it asks for.
    """
    return _environment().get_template(template).render(colours=COLOURS, **content)


@cache
def _environment() -> Environment:
    """Return where templates are found; it keeps those that it has compiled."""
    environment = Environment(
        loader=PackageLoader("selfmoe.reporting.html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    return environment
