"""Training one LoRA adapter; the base is left as it was."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer

from selfmoe.components import TrainContext
from selfmoe.errors import StageError, did_you_mean
from selfmoe.mixture.structure import linears
from selfmoe.randomness import derive

if TYPE_CHECKING:
    from selfmoe_trainer_lora import Lora


def train(options: Lora.Config, ctx: TrainContext) -> Mapping[str, Any]:
    """Return the report of training an adapter and leaving it in ``ctx.out``."""
    targets = options.target_modules
    config = LoraConfig(
        r=options.r,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        use_rslora=options.rslora,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT 0.21 still asks transformers 5 by the old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        # It finds out by itself which layers store their weight transposed, and says so.
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        torch.manual_seed(derive(ctx.seed, "init"))
        model = _wrap(ctx.base.model, config)
    try:
        return _fit(model, options, ctx)
    finally:
        _unwrap(model, ctx.base.model)


def _wrap(base: Any, config: LoraConfig) -> Any:
    """Return the base with an untrained adapter.

    Raises:
        StageError: If the target modules are none of the base's, or the head or the embeddings.
    """
    if isinstance(config.target_modules, (list, set)):
        _check_names(base, config.target_modules)
    try:
        model = get_peft_model(base, config)
    except ValueError as error:
        raise StageError(
            f"no adapter can be put on {config.target_modules}: {error}\n"
            "  Change specialise.options.target_modules, or leave it at all-linear."
        ) from None
    for module in (base.get_input_embeddings(), base.get_output_embeddings()):
        if isinstance(module, LoraLayer):
            _unwrap(model, base)
            raise StageError(
                "specialise.options.target_modules names the embeddings or the output head, which "
                "lie outside the decoder blocks\n  Leave them out, or leave it at all-linear."
            )
    return model


def _check_names(base: Any, wanted: Iterable[str]) -> None:
    """Refuse names that no linear layer has; PEFT is content if one of several is right."""
    names = linears(base)
    for target in sorted(wanted):
        if not any(name == target or name.endswith(f".{target}") for name in names):
            there = sorted({name.rpartition(".")[2] for name in names})
            raise StageError(
                f"no linear layer is named '{target}'{did_you_mean(target, there)}\n"
                f"  There are: {', '.join(there)}. Change specialise.options.target_modules, or "
                "leave it at all-linear."
            )


def _unwrap(model: Any, base: Any) -> None:
    """Take the adapter off, without leaving anything behind."""
    model.unload()
    base.eval().requires_grad_(False)
    if hasattr(base, "peft_config"):
        del base.peft_config


def _fit(model: Any, options: Lora.Config, ctx: TrainContext) -> Mapping[str, Any]:
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    model.train()
    with _checkpointing(ctx.base.model) if options.gradient_checkpointing else nullcontext():
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


@contextmanager
def _checkpointing(base: Any) -> Iterator[None]:
    """Recompute the base's activations in the backward pass while the context lasts.

    PEFT's wrapper would put its hook on the embeddings twice, of which only one can be removed.
    """
    with warnings.catch_warnings():
        # Renamed within transformers 5; the new name is not in all of the releases we allow.
        warnings.filterwarnings("ignore", "`gradient_checkpointing_", FutureWarning)
        base.gradient_checkpointing_enable({"use_reentrant": False})
        try:
            yield
        finally:
            base.gradient_checkpointing_disable()
            base.disable_input_require_grads()


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
