"""A merge: the sum of what the experts add to each layer."""

from selfmoe.contracts import Merge, hookimpl

SELFMOE_API = 1


class Sum(Merge):
    """The sum of the experts' weight deltas."""

    name = "sum"

    def compose(self, ctx):
        from selfmoe.kits.merges import merge_deltas

        def add(site, deltas):
            return sum(deltas[name] for name in sorted(deltas))

        tensors, report = merge_deltas(ctx, add)
        return self.composition(ctx, tensors, report=report)


@hookimpl
def register_merges():
    return [Sum]
