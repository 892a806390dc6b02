"""The domain `kitchen`."""

from __future__ import annotations

from selfmoe import hookimpl
from selfmoe.components import Domain
from selfmoe.mini import MiniDomain

from .families import FAMILIES

SELFMOE_API = 1


# -- start domain --
class KitchenDomain(MiniDomain):
    """Portions, minutes and what is left: arithmetic for cooks."""

    name = "kitchen"
    description = "arithmetic in the kitchen"
    families = FAMILIES
    style = "marked"


# -- end domain --


@hookimpl
def register_domains() -> list[type[Domain]]:
    """Return the domain of this package."""
    return [KitchenDomain]
