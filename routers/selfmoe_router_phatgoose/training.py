"""Training the vectors of ``phatgoose``: expert by expert, each on its own examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from selfmoe.contracts import ComposeContext, Composition, Expert, Gate, Router, derive
from selfmoe.kits.routers import factors_of, joined, learn, own_examples
from selfmoe_router_phatgoose.gate import SigmoidGate, tensor_name


class Alone(Router):
    """One expert with its sigmoid gate, as it learns."""

    name = "phatgoose"

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the gate of the one expert of ``ctx``, trained on all its data from v = 0."""
        ((name, expert),) = ctx.experts.items()
        vectors = {
            tensor_name(layer): torch.zeros(factors.a.shape[1])
            for layer, factors in factors_of(expert).items()
        }
        start = self.composition(ctx, vectors)
        return learn(ctx, self, start, label=f"router {self.name}, gate of {name}")

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        return SigmoidGate(composition.tensors)


def train(
    ctx: ComposeContext, router: Router, before: Composition, new: Mapping[str, Expert]
) -> Composition:
    """Return a composition with the vectors of new experts below those it has.

    Raises:
        CompositionError: If an expert has no examples.
    """
    data = own_examples(router, ctx.data, new)
    alone, made = Alone(router.options), []
    for name, expert in new.items():
        own = ctx._replace(
            experts={name: expert},
            data=data[name],
            seed=derive(ctx.seed, "phatgoose", name),
            work=ctx.work / "gates" / name,
        )
        made.append(alone.compose(own))
    tensors = dict(before.tensors)
    for place, one in enumerate(made, start=len(before.experts)):
        tensors = _below(tensors, one.tensors, place)
    return joined(before, ctx, new, tensors, _report(before.report, made))


def _below(
    tensors: Mapping[str, Tensor], vectors: Mapping[str, Tensor], place: int
) -> dict[str, Tensor]:
    """Return the vectors of ``place`` experts with those of one more below them."""
    both = {}
    for name in sorted({*tensors, *vectors}):
        width = (vectors if name in vectors else tensors)[name].shape[-1]
        above = tensors.get(name, torch.zeros(place, width))
        below = vectors.get(name, torch.zeros(width))
        both[name] = torch.cat([above, below[None]])
    return both


def _report(before: Mapping[str, float], made: Sequence[Composition]) -> dict[str, float]:
    """Return what all fits did together; first and last loss are means over the new experts."""
    size = sum(tensor.numel() for one in made for tensor in one.tensors.values())
    summed = {
        "added_parameters": size,
        "trained_parameters": size,
        "steps": sum(one.report["steps"] for one in made),
        "tokens": sum(one.report["tokens"] for one in made),
    }
    return {
        **{name: before.get(name, 0.0) + float(value) for name, value in summed.items()},
        "first_loss": fmean(one.report["first_loss"] for one in made),
        "last_loss": fmean(one.report["last_loss"] for one in made),
    }
