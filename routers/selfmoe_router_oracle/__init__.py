"""Oracle routing: every text goes to the expert of its domain, which somebody must tell."""

from __future__ import annotations

from selfmoe.contracts import ComponentConfig, ComposeContext, Composition, Gate, Router, hookimpl

SELFMOE_API = 1


class Oracle(Router):
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

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the composition; there is nothing to learn."""
        from selfmoe.kits.routers import references

        told = self.options.model_dump(mode="json")
        report = {"added_parameters": 0.0, "trained_parameters": 0.0}
        return Composition(self.name, told, references(ctx.experts), report=report)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it."""
        from selfmoe.kits.routers import check_extends

        check_extends(composition, ctx, self)
        return self.compose(ctx)

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe_router_oracle.gate import OracleGate

        return OracleGate([ref.name for ref in composition.experts])


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Oracle]
