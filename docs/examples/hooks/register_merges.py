"""A merge: the sum of what the experts add to each layer."""

from selfmoe.contracts import hookimpl
from selfmoe.contracts import Merge
from selfmoe.contracts import Composition

SELFMOE_API = 1


class Sum(Merge):
    """The sum of the experts' weight deltas."""

    name = "sum"

    def compose(self, ctx):
        from selfmoe.kits.merges import merge_deltas
        from selfmoe.kits.merges import references

        def add(site, deltas):
            return sum(deltas[name] for name in sorted(deltas))

        tensors, report = merge_deltas(ctx, add)
        return Composition(self.name, {}, references(ctx.experts), tensors, report=report)


@hookimpl
def register_merges():
    return [Sum]
