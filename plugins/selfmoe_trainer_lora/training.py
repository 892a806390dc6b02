"""Training one LoRA adapter; the base is left as it was."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model

from selfmoe.contracts import TrainContext, derive
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
        _unwrap(model, base)


def _unwrap(model: Any, base: Any) -> None:
    """Take the adapter off, without leaving anything behind."""
    model.unload()
    base.eval().requires_grad_(False)
    if hasattr(base, "peft_config"):
        del base.peft_config


def _fit(model: Any, options: Lora.Config, ctx: TrainContext) -> Mapping[str, Any]:
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    model.train()
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
    model.save_pretrained(ctx.out, save_embedding_layers=False)
    _make_reproducible(ctx.out, ctx.base.name)
    trained = sum(parameter.numel() for parameter in parameters.values())
    return {
        "losses": [round(loss, 6) for loss in fitted.losses],
        "steps": fitted.steps,
        "tokens": fitted.tokens,
        "trained_parameters": trained,
    }


def _make_reproducible(folder: Path, base: str) -> None:
    """Rewrite what PEFT saves so that equal adapters are equal files.

    PEFT writes the target modules, a set, in an order that differs between processes, the path
    the base was loaded from, and a model card with empty headings.
    """
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    config["base_model_name_or_path"] = base
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").unlink(missing_ok=True)
