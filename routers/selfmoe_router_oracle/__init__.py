"""Oracle routing: every text goes to the expert of its domain, which somebody must tell."""

from __future__ import annotations

from selfmoe.contracts import ComponentConfig, Composition, Gate, Router, hookimpl
from selfmoe.kits.routers import UntrainedRouter

SELFMOE_API = 1


class Oracle(UntrainedRouter):
    """Control: every text goes to the expert named like its domain, with a weight of 1.

    It is told the domain, which no other system knows: an evaluation tells it the domain of the
    benchmark, everyone else ``mixture.annotate(domain=…)``. A text of another domain, or of none,
    gets the base alone.
    """

    name = "oracle"
    label = "oracle"
    needs = frozenset({"labels_at_inference"})

    class Config(ComponentConfig):
        """Oracle routing has no options."""

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_oracle.gate import OracleGate

        return OracleGate([ref.name for ref in composition.experts])


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Oracle]
