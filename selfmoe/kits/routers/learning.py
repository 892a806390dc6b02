"""Training a gate by the language-model loss, with base and experts as they are.

Routers that learn share this: attach what they start from, fit the gate's parameters on the
responses, and take the composition off again. Gates are told which tokens are prompts and what the
domain of each row is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from selfmoe.contracts.composer import ComposeContext, Composer
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Composition, Example
from selfmoe.kits.routers.penalties import RoutingPenalty
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.runtime import attach
from selfmoe.models.fitting.reading import ResponseLoss

if TYPE_CHECKING:
    from selfmoe.contracts.fitting import Batch


def learn(
    ctx: ComposeContext,
    composer: Composer,
    start: Composition,
    *,
    data: Sequence[Example] | None = None,
    prepare: Callable[[Any], None] | None = None,
    kept: Mapping[str, int] | None = None,
    penalty: RoutingPenalty | None = None,
    label: str | None = None,
) -> Composition:
    """Return a composition with its gate trained; nothing else changes.

    Args:
        ctx: Base, experts, the fitting loop, seed and folder.
        composer: Makes the gate of ``start``; its options say how to fit (``FitConfig``).
        start: The composition with the gate as initialised.
        data: What to learn from; default: ``ctx.data``.
        prepare: Given the gate before training, to make it behave as it shall while it learns, or
            to freeze some of its parameters; all are free to learn otherwise.
        kept: How many of its first rows a parameter of the gate keeps bit for bit, by its name.
        penalty: What is added to the loss for how the gate chooses.
        label: What is fitted, for messages; default: the composer.

    Returns:
        ``start`` with the tensors of the trained gate and a report of first and last loss, steps
        and tokens added to its own.

    Raises:
        StageError: If a loss is not finite, or training changes nothing.
    """
    options, model = composer.options, ctx.base.model
    with attach(model, composer, start, ctx.experts, blocks=ctx.base.blocks) as mixture:
        gate = mixture.gate.requires_grad_(True)
        if prepare is not None:
            prepare(gate)
        alone = gate.causal and mixture.memory.keeps is None and penalty is None
        run = partial(_run, model, mixture)
        read = ResponseLoss(model, ctx.base.blocks, run, apart=alone)
        if penalty is not None:
            penalty.watch(read, gate)
        with _keeping_rows(gate, kept or {}):
            fitted = ctx.fit(
                model,
                {name: p for name, p in gate.named_parameters() if p.requires_grad},
                ctx.data if data is None else data,
                ctx.base,
                options,
                seed=ctx.seed,
                work=ctx.work,
                label=label or f"{composer.kind} {composer.name}",
                forward=read,
                penalty=penalty,
            )
    tensors = {name: tensor.cpu().clone() for name, tensor in gate.state_dict().items()}
    if len({ref.hash for ref in start.experts}) > 1:  # of equal experts there is nothing to learn
        _check_reached(composer, start.tensors, tensors)
    return replace(start, tensors=tensors, report={**start.report, **fitted.summary()})


def _run(model: nn.Module, mixture: Mixture, batch: Batch, **options: Any) -> Any:
    """Return what the model returns for a batch, of whose rows the mixture is told."""
    with mixture.annotate(prompt_mask=batch.prompt_mask, domain=batch.domains):
        return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **options)


@contextmanager
def _keeping_rows(gate: nn.Module, kept: Mapping[str, int]) -> Iterator[None]:
    """Let parameters of a gate keep their first rows; only the others are parameters within.

    So nothing that is done to parameters, such as weight decay, touches the rows that are kept.
    """
    whole = {name for name, rows in kept.items() if rows == len(gate.get_parameter(name))}
    for name in whole:
        gate.get_parameter(name).requires_grad_(False)
    for name in sorted(set(kept) - whole):
        above = _Below(gate.get_parameter(name)[: kept[name]].detach().clone())
        parametrize.register_parametrization(gate, name, above, unsafe=True)
    try:
        yield
    finally:
        for name in set(kept) - whole:
            parametrize.remove_parametrizations(gate, name)


class _Below(nn.Module):
    """A parameter that is put below constant rows.

    Args:
        rows: Those rows.
    """

    rows: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)

    def forward(self, learnt: Tensor) -> Tensor:
        """Return all rows, shape ``(n_experts, …)``, for the learnt ones."""
        return torch.cat([self.rows, learnt])

    def right_inverse(self, whole: Tensor) -> Tensor:
        """Return those that are not constant, for all rows, shape ``(n_experts, …)``."""
        return whole[len(self.rows) :].clone()


def _check_reached(
    composer: Composer, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> None:
    if all(name in before and torch.equal(before[name], after[name]) for name in after):
        raise StageError(
            f"{composer.kind} {composer.name}: training left the gate exactly as it was; no "
            "gradient reached it (are the experts' B matrices all zero?)"
        )
