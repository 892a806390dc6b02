"""Training an adapter with PEFT and the Trainer of transformers, on the same batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from selfmoe.contracts.randomness import derive, permutation
from selfmoe.models.fitting.batches import collate, encode_all


def train(
    base: Any,
    data: Sequence[Any],
    options: Mapping[str, Any],
    rank: int,
    alpha: int,
    folder: Path,
) -> list[float]:
    """Return the losses of an epoch.

    Args:
        base: The base; left as it was.
        data: The examples.
        options: Batch size and rate.
        rank: Of the adapter.
        alpha: Of the adapter.
        folder: For the Trainer's own files.
    """
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(base.model, config)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=options["batch_size"],
        num_train_epochs=options["epochs"],
        learning_rate=options["lr"],
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    trainer = InOrder(model, arguments, train_dataset=_rows(base, data), data_collator=_batch)
    try:
        trainer.train()
    finally:
        model.unload()
        base.model.eval().requires_grad_(False)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


class InOrder(Trainer):  # type: ignore[misc]
    """A Trainer that takes the examples as they come."""

    def _get_train_sampler(self, *given: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


def _rows(base: Any, data: Sequence[Any]) -> list[Any]:
    """Return the examples as tokens, in the order in which selfmoe reads them."""
    rows = encode_all(data, base, "trainer")
    return [rows[i] for i in permutation(len(rows), derive(derive(0, "fit"), "epoch", 0))]


def _batch(rows: Sequence[Any]) -> dict[str, Tensor]:
    batch = collate(rows, 0, torch.device("cpu"))
    return {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "labels": batch.labels,
    }
