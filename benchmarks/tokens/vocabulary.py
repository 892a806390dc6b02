"""A vocabulary whose merges cross words, digits and spaces, so that every cut of a text shows."""

from __future__ import annotations

import json
from typing import Any

from selfmoe.testing.gguf import BYTE, CONTROL, NORMAL, USER_DEFINED, Vocabulary

SPECIAL = ("<eos>", "<pad>", "<bos>", "<|turn|>", "<think>")


def crossing(texts: list[str], size: int = 6000) -> Vocabulary:
    """Return byte-level tokens learnt from whole texts, uncut.

    Args:
        texts: What to learn from.
        size: Number of tokens, special ones not counted.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=letters, show_progress=False, max_token_length=12
    )
    tokenizer.train_from_iterator(texts, trainer)
    known = tokenizer.get_vocab()
    tokens = sorted(known, key=lambda token: known[token])
    kinds = [NORMAL] * len(tokens) + [CONTROL] * 4 + [USER_DEFINED]
    return Vocabulary([*tokens, *SPECIAL], merges(tokenizer), kinds)


def sentencepiece(texts: list[str], size: int = 3000) -> tuple[Vocabulary, list[float]]:
    """Return a vocabulary as sentencepiece has them, bytes included, and its scores.

    Args:
        texts: What to learn from.
        size: Number of pieces.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, max_token_length=12)
    tokenizer.train_from_iterator(texts, trainer)
    known = tokenizer.get_vocab()
    pieces = sorted(known, key=lambda token: known[token])
    heads = ["<unk>", "<s>", "</s>"]
    octets = [f"<0x{value:02X}>" for value in range(256)]
    scores = [0.0] * len(heads + octets) + [-float(rank) for rank in range(len(pieces))]
    kinds = [2, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    return Vocabulary([*heads, *octets, *pieces], [], kinds), scores


def merges(tokenizer: Any) -> list[str]:
    """Return the merges of a BPE tokenizer, in their order."""
    saved = json.loads(tokenizer.to_str())["model"]["merges"]
    return [" ".join(pair) for pair in saved]
