"""Uniform routing: every expert, always, with one weight. A control for all routers."""

from __future__ import annotations

from pydantic import Field

from selfmoe.contracts import ComponentConfig, Composition, Gate, Router, hookimpl
from selfmoe.kits.routers import UntrainedRouter

SELFMOE_API = 1


class Uniform(UntrainedRouter):
    """Control: every token takes all experts with equal weights.

    At the default weight, 1 / n, it equals the merge ``mean``, which costs no more than the base.
    """

    name = "uniform"
    label = "uniform"
    control = True

    class Config(ComponentConfig):
        """Options of uniform routing."""

        weight: float | None = Field(
            None, gt=0, description="Weight of each of the n experts. Default: 1 / n."
        )

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_uniform.gate import UniformGate

        n = len(composition.experts)
        options = self.Config.model_validate(composition.options)
        return UniformGate(n, 1 / n if options.weight is None else options.weight)


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Uniform]
