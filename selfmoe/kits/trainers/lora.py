"""Training one LoRA adapter; the base is left as it was."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from selfmoe.contracts.fitting import Batch, FitReport
from selfmoe.contracts.randomness import derive
from selfmoe.contracts.records import Example
from selfmoe.contracts.trainer import TrainContext
from selfmoe.kits.trainers.adapters import go_on, remove_adapter, save_adapter
from selfmoe.kits.trainers.lean import lean
from selfmoe.kits.trainers.options import LoraOptions
from selfmoe.kits.trainers.targets import chosen, spelled, taken_at_their_word


@dataclass(frozen=True)
class Objective:
    """What an adapter learns by, where that is not the loss on the responses of the data.

    Attributes:
        forward: Returns the sum of the losses of a batch, a scalar; see ``Fitting``. Default: that
            of its response tokens.
        on_policy: Returns what a step is trained on; see ``Fitting``.
    """

    forward: Callable[[Batch], Tensor] | None = None
    on_policy: Callable[[int, Sequence[int]], Sequence[Example]] | None = None


def train_lora(
    options: LoraOptions, ctx: TrainContext, objective: Callable[[Any], Objective] | None = None
) -> Mapping[str, Any]:
    """Return the report of training an adapter and leaving it in ``ctx.out``.

    Args:
        options: The adapter's, and the fit's.
        ctx: Base, data, the fitting loop, seed and folders.
        objective: Given PEFT's model with the new adapter, in training mode, returns what it learns
            by; default: the loss on the responses.

    Raises:
        StageError: If a loss is not finite, or the options do not fit the base.
    """
    with new_adapter(options, ctx) as model, lean(model):
        parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        learnt = objective(model) if objective is not None else Objective()
        fitted = ctx.fit(
            model,
            parameters,
            ctx.data,
            ctx.base,
            options,
            seed=derive(ctx.seed, "fit"),
            work=ctx.work,
            label=label_of(ctx),
            forward=learnt.forward,
            on_policy=learnt.on_policy,
        )
        save_adapter(model, ctx.out, ctx.base)
    return report_of(fitted, parameters.values())


def label_of(ctx: TrainContext) -> str:
    """Return what is fitted, for messages."""
    return f"training on {len(ctx.data)} examples"


def report_of(fitted: FitReport, parameters: Iterable[Tensor]) -> dict[str, Any]:
    """Return what is reported of training an adapter.

    Args:
        fitted: What the fit did.
        parameters: What learnt, of any shape.
    """
    return {
        "losses": [round(loss, 6) for loss in fitted.losses],
        "steps": fitted.steps,
        "tokens": fitted.tokens,
        "trained_parameters": sum(parameter.numel() for parameter in parameters),
    }


@contextmanager
def new_adapter(options: LoraOptions, ctx: TrainContext) -> Iterator[Any]:
    """Yield PEFT's model in training mode, with a new adapter; it is taken off in the end."""
    base: Any = ctx.base.model
    names = chosen(options, ctx.base)
    config = LoraConfig(
        r=options.r,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        use_rslora=options.rslora,
        target_modules=spelled(options.target_modules, names, base),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT 0.21 still asks transformers 5 by the old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        # It finds out by itself which layers store their weight transposed, and says so.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        torch.manual_seed(derive(ctx.seed, "init"))
        with taken_at_their_word(base):
            model = get_peft_model(base, config)
    try:
        if ctx.start is not None:
            go_on(model, ctx.start)
        yield model.train()
    finally:
        remove_adapter(model, ctx.base)


@contextmanager
def without_training(model: Any, *, adapter: bool) -> Iterator[None]:
    """Let a model that learns be read as it is: nothing left out at random, no gradients.

    Args:
        model: PEFT's model, in training mode; it is in that again afterwards.
        adapter: Whether its adapter takes part; without it this is the base.
    """
    model.eval()
    try:
        with torch.no_grad():
            if adapter:
                yield
            else:
                with model.disable_adapter():
                    yield
    finally:
        model.train()
