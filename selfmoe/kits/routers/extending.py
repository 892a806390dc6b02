"""Adding experts to a composition that exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from selfmoe.contracts.composer import ComposeContext, Composer
from selfmoe.contracts.errors import CompositionError, counted
from selfmoe.contracts.records import Composition, Expert
from selfmoe.kits.routers.labelled import count_ignored

if TYPE_CHECKING:
    from torch import Tensor


def check_extends(composition: Composition, ctx: ComposeContext, composer: Composer) -> None:
    """Check that the experts of ``ctx`` are those of the composition, followed by further ones.

    Gate order is then the order of ``ctx.experts``, and what belongs to an expert keeps its place.

    Raises:
        CompositionError: If they are not, or the composition was made by another composer.
    """
    if composition.composer != composer.name:
        raise CompositionError(
            f"{composer.kind} '{composer.name}' cannot add experts to a composition that "
            f"'{composition.composer}' made; extend it with that one, or compose anew"
        )
    old, given = [ref.name for ref in composition.experts], list(ctx.experts)
    if given[: len(old)] != old:
        raise CompositionError(
            f"a composition of {', '.join(old)} is extended by giving these experts first, in this "
            f"order, and then the new ones; given: {', '.join(given)}"
        )
    if len(given) == len(old):
        raise CompositionError(
            f"nothing to add: the composition has its {counted(len(old), 'expert')} "
            f"({', '.join(old)}) already"
        )
    for ref in composition.experts:
        path = ctx.experts[ref.name].path
        if (found := ctx.refer(ctx.experts[ref.name]).hash) != ref.hash:
            raise CompositionError(
                f"expert '{ref.name}' is not the one that was composed ({found} instead of "
                f"{ref.hash}, {path}); compose anew"
            )


def newcomers(
    composition: Composition, ctx: ComposeContext, composer: Composer
) -> dict[str, Expert]:
    """Return the experts that a composition lacks, in gate order.

    For composers that make for each expert what it needs apart from the others, in the same way.

    Raises:
        CompositionError: As ``check_extends``, or if the composition was made with other options.
    """
    check_extends(composition, ctx, composer)
    options = composer.options.model_dump(mode="json")
    if other := [name for name in options if options[name] != composition.options.get(name)]:
        raise CompositionError(
            f"the composition was made with other options ({', '.join(other)}), and what is added "
            f"to '{composer.name}' must be made as the rest was; extend it with the same options, "
            "or compose anew"
        )
    there = {ref.name for ref in composition.experts}
    return {name: expert for name, expert in ctx.experts.items() if name not in there}


def joined(
    before: Composition,
    ctx: ComposeContext,
    new: Mapping[str, Expert],
    tensors: Mapping[str, Tensor],
    report: Mapping[str, float],
) -> Composition:
    """Return a composition with new experts behind those it has.

    Args:
        before: What it was; without experts at first.
        ctx: How experts are named, and the examples that were there to learn from.
        new: The new experts, in gate order.
        tensors: The gate's tensors by name, of all experts together, shape ``(n_experts, …)`` or
            whatever the router keeps.
        report: What there is to say; how many examples were of no expert's domain is added.
    """
    ignored = {"ignored_examples": count_ignored(ctx.data, before, new)}
    experts = (*before.experts, *map(ctx.refer, new.values()))
    return replace(before, experts=experts, tensors=tensors, report={**report, **ignored})


def grown(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``new`` with its first rows replaced by those of ``old``, where there are any.

    Args:
        old: Tensors by name, shape ``(n_experts before, …)``.
        new: Tensors by name, shape ``(n_experts, …)``.

    Raises:
        CompositionError: If the rows of ``old`` do not fit, for they are of another base.
    """
    import torch

    for name, rows in old.items():
        if name not in new or new[name].shape[1:] != rows.shape[1:]:
            raise CompositionError(
                f"the composition's {name} of shape {tuple(rows.shape)} does not fit the base and "
                "its experts; was it composed on another base?"
            )
    return {n: torch.cat([old[n], t[len(old[n]) :]]) if n in old else t for n, t in new.items()}
