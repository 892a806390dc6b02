"""The built-in domain `reasoning`."""

from __future__ import annotations

from selfmoe.hookspecs import hookimpl
from selfmoe.mini import MiniDomain
from selfmoe_domain_reasoning.mini import FAMILIES, STYLE

SELFMOE_API = 1


class Reasoning(MiniDomain):
    """Step-by-step reasoning: truth values, objects and their places, order."""

    name = "reasoning"
    description = "step-by-step reasoning"
    default = True
    families = FAMILIES
    style = STYLE


@hookimpl
def register_domains() -> list[type[Reasoning]]:
    """Return the domain."""
    return [Reasoning]
