"""What was written is read again by those it is for, and must compute what selfmoe computes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts.errors import CompositionError
from selfmoe.models.quiet import quiet
from selfmoe.models.vocabulary import read_tokenizer

TOLERANCE = 1e-4
"""Largest difference of logits, in float32, as a share of the largest logit."""

_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_ROWS, _LENGTH = 2, 32


@torch.inference_mode()
def logits(model: Any) -> Tensor:
    """Return the logits of some fixed tokens, shape ``(rows, length, vocabulary)``, float32."""
    size = int(model.get_input_embeddings().weight.shape[0])
    drawn = torch.Generator().manual_seed(0)
    ids = torch.randint(size, (_ROWS, _LENGTH), generator=drawn)
    found: Tensor = model(input_ids=ids, use_cache=False).logits.float()
    return found


def difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of logits, as a share of the largest one.

    Args:
        one: Shape ``(rows, length, vocabulary)``.
        other: Of the same shape.
    """
    return float((one - other).abs().max() / other.abs().max())


def check_model(folder: Path, expected: Tensor) -> float:
    """Read a model and its tokenizer with transformers, and return how far its logits are off.

    Args:
        folder: What was written.
        expected: What ``logits`` returned of the model that was written, shape
            ``(rows, length, vocabulary)``.

    Raises:
        CompositionError: If it does not load whole, or computes something else.
    """
    from transformers import AutoModelForCausalLM

    with quiet():
        model, told = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **_LOCAL
        )
    if missing := sorted(told["missing_keys"]):
        raise CompositionError(f"what was written lacks {missing[0]}; nothing is kept of it")
    read_tokenizer(folder, _LOCAL)
    return _close(logits(model.eval()), expected, "transformers")


def check_lora(model: Any, folder: Path, expected: Tensor) -> float:
    """Put a LoRA on its base with PEFT, and return how far its logits are off.

    Args:
        model: The base, in float32; PEFT changes it.
        folder: What was written.
        expected: What ``logits`` returned of the base with what was written, shape
            ``(rows, length, vocabulary)``.

    Raises:
        CompositionError: If it computes something else.
    """
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters, the logits show
        adapted: Any = PeftModel.from_pretrained(model, str(folder))
    return _close(logits(adapted.eval()), expected, "PEFT")


def _close(found: Tensor, expected: Tensor, reader: str) -> float:
    off = difference(found, expected)
    if not off <= TOLERANCE:
        raise CompositionError(
            f"what was written computes something else when {reader} reads it: logits differ by "
            f"{off:.1e} of the largest one, {TOLERANCE:.0e} is allowed; nothing is kept of it\n"
            "  Please report this, with the base and the method."
        )
    return off
