"""Training one LoRA adapter; the base is left as it was."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model

from selfmoe.contracts import TrainContext, derive
from selfmoe.kits.trainers import remove_adapter, save_adapter
from selfmoe_trainer_lora.lean import lean
from selfmoe_trainer_lora.targets import chosen, spelled, taken_at_their_word

if TYPE_CHECKING:
    from selfmoe_trainer_lora import Lora


def train(options: Lora.Config, ctx: TrainContext) -> Mapping[str, Any]:
    """Return the report of training an adapter and leaving it in ``ctx.out``."""
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
        return _fit(model, options, ctx)
    finally:
        remove_adapter(model, ctx.base)


def _fit(model: Any, options: Lora.Config, ctx: TrainContext) -> Mapping[str, Any]:
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    model.train()
    with lean(model):
        fitted = ctx.fit(
            model,
            parameters,
            ctx.data,
            ctx.base,
            options,
            seed=derive(ctx.seed, "fit"),
            work=ctx.work,
            label=f"training on {len(ctx.data)} examples",
        )
    save_adapter(model, ctx.out, ctx.base)
    trained = sum(parameter.numel() for parameter in parameters.values())
    return {
        "losses": [round(loss, 6) for loss in fitted.losses],
        "steps": fitted.steps,
        "tokens": fitted.tokens,
        "trained_parameters": trained,
    }
