"""The folders that builds share: bases, experts, examples; and the code of another commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from selfmoe.testing.models import LLAMA_TARGETS, random_adapter, tiny_tokenizer

REPOSITORY = Path(__file__).parents[2]


@contextmanager
def checkout(commit: str, folder: Path) -> Iterator[Path]:
    """Yield a git worktree of a commit, made in ``folder`` and taken away in the end."""
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    subprocess.run([*git, "add", "--detach", str(folder), commit], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def toy(folder: Path, vocabulary: int) -> Path:
    """Write a random Llama of width 64 and two blocks with a vocabulary of that size."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=vocabulary,
        max_position_embeddings=512,
        pad_token_id=257,
        bos_token_id=None,
        eos_token_id=256,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def experts(base: Path, folder: Path, n: int, rank: int) -> list[Path]:
    """Write random experts on the linears of a base and return their folders."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ends = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    targets = [name for name in LLAMA_TARGETS if name in ends]
    return [
        random_adapter(model, folder / f"{i}", r=rank, targets=targets, seed=i, std=0.02)
        for i in range(n)
    ]


def setting(
    folder: Path,
    base: Path,
    rows: Sequence[Any],
    adapters: Sequence[Path],
    batch: int,
    threads: int,
) -> Path:
    """Write what a process loads and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    examples, file = folder / "examples.json", folder / f"setting-{threads}.json"
    examples.write_text(json.dumps(list(rows)))
    facts = {"base": str(base), "examples": str(examples), "batch": batch, "threads": threads}
    file.write_text(json.dumps({**facts, "experts": [str(path) for path in adapters]}))
    return file
