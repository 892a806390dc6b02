"""What training keeps on disk: resumable checkpoints, and the exported model."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer
from transformers import GenerationConfig

KEPT = 3


def checkpoints(state: Path) -> list[Path]:
    """Return the complete checkpoints in folder `state`, oldest first."""
    return sorted(state.glob("step-[0-9]*[0-9]"))


def save(
    state: Path, step: int, average: float, model: nn.Module, parts: Sequence[Optimizer]
) -> None:
    """Write a checkpoint after `step` steps, as a whole or not at all, and drop old ones."""
    with replacing(state / f"step-{step:06d}") as folder:
        save_file(dict(model.named_parameters()), folder / "model.safetensors")
        rest = {"step": step, "average": average, "parts": [part.state_dict() for part in parts]}
        torch.save(rest, folder / "optimizer.pt")
    for old in checkpoints(state)[:-KEPT]:
        shutil.rmtree(old)


def restore(
    state: Path, model: nn.Module, parts: Sequence[Optimizer], device: str
) -> tuple[int, float | None]:
    """Load the newest checkpoint; return the steps done and the running loss (0, None if none)."""
    found = checkpoints(state)
    if not found:
        return 0, None
    weights = load_file(found[-1] / "model.safetensors", device=device)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, tensor in weights.items():
            parameters[name].copy_(tensor)
    rest = torch.load(found[-1] / "optimizer.pt", weights_only=True, map_location=device)
    for part, saved in zip(parts, rest["parts"], strict=True):
        part.load_state_dict(saved)
    return int(rest["step"]), float(rest["average"])


def export(state: Path, out: Path, config: Any, tokenizer: Any) -> None:
    """Write the newest checkpoint to `out` as a Hugging Face folder.

    Weights are bfloat16 on disk; the config asks for float32, so they load as float32 unless told
    otherwise. Each file is replaced in one go; other files in `out` stay.

    Raises:
        FileNotFoundError: If there is no checkpoint yet.
    """
    found = checkpoints(state)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {state}; train first")
    weights = load_file(found[-1] / "model.safetensors")
    half = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    config.architectures, config.dtype = ["LlamaForCausalLM"], torch.float32
    staging = out / ".staging"
    with replacing(staging) as folder:
        tokenizer.save_pretrained(folder)
        config.save_pretrained(folder)
        GenerationConfig(bos_token_id=0, eos_token_id=0, pad_token_id=1).save_pretrained(folder)
        save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    for file in staging.iterdir():
        file.chmod(0o644)
        file.replace(out / file.name)
    staging.rmdir()
    print(f"exported {found[-1].name} to {out}", flush=True)


def fingerprint(model: nn.Module) -> str:
    """Return the sha256 of all weights, bit by bit, in order of their names."""
    found = hashlib.sha256()
    for _, weight in sorted(model.named_parameters()):
        found.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the name `final` only when the block ends well."""
    temporary = final.with_name(f"{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
