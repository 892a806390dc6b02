"""Instance merging: one LoRA trained on the examples of all domains together."""

from __future__ import annotations

from selfmoe.contracts import (
    ComposeContext,
    Composition,
    CompositionError,
    Merge,
    TrainContext,
    hookimpl,
)

SELFMOE_API = 1


class Instance(Merge):
    """One LoRA trained on all domains' examples, as long as all experts together.

    The run's trainer trains it with the options of the experts; one pass over the union of their
    examples is one pass over each, so it sees the same tokens as all experts together.
    """

    name = "instance"
    label = "instance"
    default = True
    needs = frozenset({"data"})
    reference_url = "https://arxiv.org/abs/2406.12034"

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return a composition that owns the adapter it trains.

        Raises:
            CompositionError: If there are no examples, or no trainer.
        """
        if not ctx.data:
            raise CompositionError("merge 'instance' needs examples to train on; there are none")
        if ctx.trainer is None:
            raise CompositionError("merge 'instance' needs a trainer; no plugin provides one")
        out = ctx.work / "adapter"
        work = ctx.work / "fit"
        trained = ctx.trainer.train(
            TrainContext(ctx.base, ctx.data, ctx.fit, ctx.seed, work, out, ctx.teacher)
        )
        size = float(trained["trained_parameters"])
        report = {
            "first_loss": float(trained["losses"][0]),
            "last_loss": float(trained["losses"][-1]),
            "tokens": float(trained["tokens"]),
            "trained_parameters": size,
            "added_parameters": size,
        }
        return self.composition(ctx, owned={self.name: out}, report=report)


@hookimpl
def register_merges() -> list[type[Merge]]:
    """Return the merge of this package."""
    return [Instance]
