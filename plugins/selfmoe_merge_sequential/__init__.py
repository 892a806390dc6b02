"""One LoRA trained on one domain after another, as domains arrive: the rival of adding experts.

Each domain's examples are seen when it is its turn, and never again, as where old data is gone.
What it forgets of the first domains, experts apart from one another keep (catastrophic forgetting,
McCloskey and Cohen 1989; in fine-tuned LLMs, arXiv 2308.08747).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from selfmoe.contracts import (
    ComponentConfig,
    ComposeContext,
    Composition,
    CompositionError,
    Merge,
    TrainContext,
    Trainer,
    derive,
    hookimpl,
)

SELFMOE_API = 1


class Sequential(Merge):
    """One LoRA that the run's trainer trains on one domain after another, in a given order.

    In each domain it is trained with the options that all experts have, but goes on from what it
    has become.
    """

    name = "sequential"
    label = "sequential"
    needs = frozenset({"data"})
    reference_url = "https://arxiv.org/abs/2308.08747"

    class Config(ComponentConfig):
        """Options of training in sequence."""

        order: list[str] | None = Field(
            None,
            min_length=1,
            description="Domains in turn; default: by name.",
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return a composition that owns the adapter as the last domain left it.

        Raises:
            CompositionError: If there are no examples, the order does not name their domains once
                each, or the trainer cannot go on with an adapter.
        """
        trainer, domains = _trainer(ctx), self._order(ctx)
        report: dict[str, float] = {}
        start: Path | None = None
        for number, domain in enumerate(domains):
            out = ctx.work / "adapters" / f"{number}"
            trained = trainer.train(_context(ctx, domain, number, out, start))
            start = out
            report[f"last_loss.{domain}"] = float(trained["losses"][-1])
            report["tokens"] = report.get("tokens", 0.0) + float(trained["tokens"])
        size = float(trained["trained_parameters"])
        report |= {"trained_parameters": size, "added_parameters": size}
        return self.composition(ctx, owned={self.name: out}, report=report)

    def _order(self, ctx: ComposeContext) -> Sequence[str]:
        known = {example.domain for example in ctx.data}
        order = self.options.order or sorted(known)
        if not order or sorted(order) != sorted(known):
            raise CompositionError(
                f"merge 'sequential': order names {', '.join(order) or 'no domain'}, but there are "
                f"examples of {', '.join(sorted(known)) or 'none'}\n  Name each of these once."
            )
        return list(order)


def _trainer(ctx: ComposeContext) -> Trainer:
    if ctx.trainer is None:
        raise CompositionError("merge 'sequential' needs a trainer; no plugin provides one")
    if not ctx.trainer.continues:
        raise CompositionError(
            f"merge 'sequential' needs a trainer that can go on with an adapter; "
            f"'{ctx.trainer.name}' always begins a new one\n  Leave specialise.trainer out."
        )
    return ctx.trainer


def _context(
    ctx: ComposeContext, domain: str, number: int, out: Path, start: Path | None
) -> TrainContext:
    """Return what the trainer works with in one domain."""
    own = [example for example in ctx.data if example.domain == domain]
    out.mkdir(parents=True, exist_ok=True)
    seed = derive(ctx.seed, domain)
    work = ctx.work / "fits" / f"{number}"
    return TrainContext(ctx.base, own, ctx.fit, seed, work, out, ctx.teacher, start)


@hookimpl
def register_merges() -> list[type[Merge]]:
    """Return the merge of this package."""
    return [Sequential]
