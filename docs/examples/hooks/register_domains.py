"""A domain whose problems are made up: doubling numbers."""

from selfmoe.contracts import hookimpl
from selfmoe.kits.domains import Family, MiniDomain, Problem

SELFMOE_API = 1


def double(rng):
    n = rng.randint(10, 99_999)
    return Problem("double", f"Double {n}.", str(2 * n), f"2 * {n} = {2 * n}.", f"print({2 * n})")


class Doubling(MiniDomain):
    """Doubling numbers."""

    name = "doubling"
    description = "doubling numbers"
    families = (Family("double", double),)
    style = "marked"


@hookimpl
def register_domains():
    return [Doubling]
