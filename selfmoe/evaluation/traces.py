"""Which expert each token of a few samples went to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.contracts.records import LoadedBase
from selfmoe.evaluation.routing import read
from selfmoe.mixture.handle import Mixture
from selfmoe.models.spelling import texts_of
from selfmoe.models.tokens import answered_ids, unfinished

SAMPLES = 2
"""Samples a benchmark that are traced."""

LONGEST = 400
"""Tokens of a sample that are kept at the most, counted from its end."""


def trace_samples(
    mixture: Mixture, base: LoadedBase, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the traces of the first samples that fit the context; see ``trace``."""
    return [trace(mixture, base, row) for row in [r for r in rows if r["fits"]][:SAMPLES]]


def trace(mixture: Mixture, base: LoadedBase, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return how every token of one sample was routed.

    Args:
        mixture: A routed mixture, attached to the base's model.
        base: The base.
        row: A sample with ``id``, ``prompt``, ``completion`` and ``score``.

    Returns:
        ``id``, ``score``, ``cut``, ``prompt``, ``experts`` (names), ``tokens`` (texts) and
        ``weights`` (``[token][expert]``, averaged over the blocks). The first ``cut`` tokens of a
        long sample are left out; of those that are kept, the first ``prompt`` are the prompt's.
    """
    ids, start = answered_ids(base.tokenizer, row["prompt"], row["completion"])
    weights = weights_of(mixture, base, ids, start)
    texts = pieces(base.tokenizer, row["prompt"])
    texts += texts_of(base.tokenizer, ids[start:], before=ids[:start])
    cut = max(0, len(weights) - LONGEST)
    return {
        "id": row["id"],
        "score": row["score"],
        "cut": cut,
        "prompt": max(0, start - cut),
        "experts": list(mixture.experts),
        "tokens": texts[cut : len(weights)],
        "weights": [[round(weight, 3) for weight in token] for token in weights[cut:]],
    }


def weights_of(mixture: Mixture, base: LoadedBase, ids: list[int], start: int) -> list[list[float]]:
    """Return the experts' weights of each token up to the context, averaged over the blocks.

    Args:
        mixture: A routed mixture, attached to the base's model.
        base: The base.
        ids: The tokens, prompt and answer.
        start: How many of them are the prompt's; a router may decide on these alone.
    """
    with torch.inference_mode(), mixture.record(trace=True) as record:
        read(mixture, base, [(ids, start)])
    found: list[list[float]] = record.traces[0].weights[0].tolist()
    return found


def pieces(tokenizer: Any, text: str) -> list[str]:
    """Return the text of a prompt's tokens; apart from special tokens they add up to ``text``.

    A character of several tokens belongs to the first of them. Tokenizers that do not say where
    their tokens lie decode each by itself.
    """
    whole = isinstance(text, ChatPrompt)
    encoded = tokenizer(
        str(text), return_offsets_mapping=tokenizer.is_fast, add_special_tokens=not whole
    )
    kept = slice(None) if whole else unfinished(tokenizer, encoded.input_ids)
    ids = encoded.input_ids[kept]
    if not tokenizer.is_fast:
        return [tokenizer.decode([token]) for token in ids]
    special = set(tokenizer.all_special_ids)
    found, cursor = [], 0
    for token, (start, end) in zip(ids, encoded.offset_mapping[kept], strict=True):
        named = start == end and token in special
        found.append(tokenizer.convert_ids_to_tokens(token) if named else text[cursor:end])
        cursor = max(cursor, end)
    return found
