"""Tiny models, tokenizers and adapters with random weights, for tests; built in milliseconds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from selfmoe.contracts.records import Example, Expert, LoadedBase
from selfmoe.testing.compare import fingerprint
from selfmoe.testing.families import tiny_model
from selfmoe.testing.family import GPT2_TARGETS, LLAMA_TARGETS, VOCABULARY

__all__ = [
    "GPT2_TARGETS",
    "LLAMA_TARGETS",
    "VOCABULARY",
    "random_adapter",
    "save_toy_base",
    "tiny_base",
    "tiny_examples",
    "tiny_experts",
    "tiny_gpt2",
    "tiny_llama",
    "tiny_tokenizer",
]


def tiny_llama(seed: int = 0, *, dtype: torch.dtype = torch.float32, **config: Any) -> Any:
    """Return a random Llama: 3 blocks, width 32, 4 heads of 8 on 2 key-value heads, frozen.

    Args:
        seed: Of the weights.
        dtype: Of the weights.
        config: Changes to the ``LlamaConfig``; ``head_dim=16`` gives attention another width than
            the residual stream.
    """
    return tiny_model("llama", seed, dtype=dtype, **config)


def tiny_gpt2(seed: int = 0, *, dtype: torch.dtype = torch.float32) -> Any:
    """Return a random GPT-2 (``Conv1D`` linears): 3 blocks, width 32, 4 heads, frozen."""
    return tiny_model("gpt2", seed, dtype=dtype)


def tiny_tokenizer(*, bos: bool = False) -> Any:
    """Return a tokenizer with one token a byte; 256 ends a text, 257 pads on the left.

    Args:
        bos: Whether 258 opens every text, as with many Llama tokenizers.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = {"eos_token": "<eos>", "pad_token": "<pad>"} | ({"bos_token": "<bos>"} if bos else {})
    tokenizer.add_special_tokens(list(names.values()))
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 258)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **names)


def tiny_base(seed: int = 0) -> LoadedBase:
    """Return a random Llama with its tokenizer, as a base."""
    model = tiny_llama(seed)
    context = int(model.config.max_position_embeddings)
    return LoadedBase("tiny", model, tiny_tokenizer(), hash=f"tiny{seed:06d}", context=context)


def save_toy_base(folder: Path) -> Path:
    """Write a base that makes up short words, so that a run on it gets through every stage.

    It is a random Llama whose embeddings and head are set: behind a colon or a line's end comes a
    letter or digit, behind those another one or, as the likeliest single token, the end of text.

    Args:
        folder: Where to.

    Returns:
        ``folder``.
    """
    model = tiny_llama(num_hidden_layers=2, max_position_embeddings=4096)
    letters = [byte for byte in range(VOCABULARY) if chr(byte).isascii() and chr(byte).isalnum()]
    tokenizer = tiny_tokenizer()
    opening = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(":\n"))
    written = tokenizer.convert_tokens_to_ids(tokenizer.tokenize("".join(map(chr, letters))))
    generator = torch.Generator().manual_seed(0)
    embeddings, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    for weight, std in ((embeddings, 0.3), (head, 0.1)):
        weight.data = std * torch.randn(weight.shape, generator=generator)
    embeddings.data[:, :2] = torch.tensor([0.0, 3.0])  # two directions: after a word's letter,
    embeddings.data[opening, :2] = torch.tensor([3.0, 0.0])  # and where one begins
    head.data[:, :2] = -2.0
    head.data[written, :2] = 0.2
    head.data[tokenizer.eos_token_id] = 0.0
    head.data[tokenizer.eos_token_id, :2] = torch.tensor([-2.0, 0.56])
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.data *= 0.1  # the blocks add little, but what they add can be changed
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_examples(n: int = 6, domains: Sequence[str] = ("math", "coding")) -> list[Example]:
    """Return ``n`` short examples, the domains taking turns."""
    return [
        Example(f"{i}", domains[i % len(domains)], f"Add {i} and 2.", "", str(i + 2))
        for i in range(n)
    ]


def tiny_experts(
    model: nn.Module, folder: Path, names: Sequence[str] = ("math", "coding")
) -> dict[str, Expert]:
    """Return random experts on the same layers, of rank 2, 3 and so on, kept in ``folder``."""
    return {
        name: Expert(name, random_adapter(model, folder / name, r=2 + i, seed=i))
        for i, name in enumerate(names)
    }


def random_adapter(
    model: nn.Module,
    path: Path,
    *,
    r: int = 4,
    alpha: float = 8,
    targets: Sequence[str] = LLAMA_TARGETS,
    seed: int = 0,
    std: float = 0.15,
    rslora: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Path:
    """Write a PEFT LoRA folder with random A and B, neither of them zero.

    Args:
        model: Whose linears it is for; not changed.
        path: Where to.
        r: Rank.
        alpha: ``lora_alpha``.
        targets: Names of the linears.
        seed: Of the weights.
        std: Standard deviation of the weights.
        rslora: Scale by ``alpha / sqrt(r)``.
        options: Further arguments of PEFT's ``LoraConfig``.

    Returns:
        ``path``.
    """
    from peft import LoraConfig

    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        target_modules=list(targets),
        use_rslora=rslora,
        task_type="CAUSAL_LM",
        **(options or {}),
    )
    asked = json.dumps([seed, std, config.to_dict()], default=str, sort_keys=True)
    key = f"{fingerprint(model)} {getattr(model, 'name_or_path', '')} {asked}"
    if key not in _WRITTEN:
        with tempfile.TemporaryDirectory() as folder:
            _write_random(model, config, Path(folder), seed, std)
            _WRITTEN[key] = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    path.mkdir(parents=True, exist_ok=True)
    for name, content in _WRITTEN[key].items():
        (path / name).write_bytes(content)
    return path


_WRITTEN: dict[str, dict[str, bytes]] = {}
"""The files of adapters, by all that they are made from: PEFT takes long to write them."""


def _write_random(model: nn.Module, config: Any, path: Path, seed: int, std: float) -> None:
    """Write random A and B by PEFT itself."""
    import copy
    import warnings

    from peft import get_peft_model

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        adapted = get_peft_model(copy.deepcopy(model), config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(adapted.named_parameters()):
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * std
    adapted.save_pretrained(str(path))
