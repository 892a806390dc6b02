"""The built-in domain `coding`."""

from __future__ import annotations

from selfmoe.hookspecs import hookimpl
from selfmoe.mini import MiniDomain
from selfmoe_domain_coding.mini import FAMILIES, STYLE

SELFMOE_API = 1


class Coding(MiniDomain):
    """Short Python functions, judged by hidden tests in the sandbox."""

    name = "coding"
    description = "Python programming"
    default = True
    families = FAMILIES
    style = STYLE


@hookimpl
def register_domains() -> list[type[Coding]]:
    """Return the domain."""
    return [Coding]
