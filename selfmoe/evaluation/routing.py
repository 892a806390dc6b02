"""Where a mixture sends the tokens of prompts and answers.

Measured by reading each finished sample once more, prompt and answer together. The weights are
those of generation (a causal gate sees the same tokens with and without a cache), and they do not
depend on how an evaluation was cut into batches or interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from selfmoe.contracts.records import LoadedBase
from selfmoe.evaluation.reading import NOTHING, Reader, Text
from selfmoe.mixture.handle import Mixture
from selfmoe.models.generation.prefixes import groups
from selfmoe.models.structure import find_decoder
from selfmoe.models.tokens import answered_ids, first_tokens, rows_of, side_by_side

Pair = tuple[list[int], int]
"""The tokens of a prompt and its answer, and how many are the prompt's."""


def measure_routing(
    mixture: Mixture, base: LoadedBase, rows: Sequence[Mapping[str, Any]], batch_size: int
) -> dict[str, Any]:
    """Return how the weight of the tokens is shared among the experts.

    Args:
        mixture: A routed mixture, attached to the base's model.
        base: The base.
        rows: Samples with ``prompt`` and ``completion``.
        batch_size: Samples a forward.

    Returns:
        ``{"shares": {part: {expert: 0..1}}, "mean": {part: [block][expert]}, "tokens": {part: n},
        "entropy": {part: bits}}`` for the parts ``all``, ``prompt`` and ``response``. Shares sum to
        1; ``mean`` holds the weights α themselves, which sum to less.
    """
    texts = [(row["prompt"], row["completion"]) for row in rows if row["fits"]]
    pairs = [answered_ids(base.tokenizer, *text) for text in texts]
    reader = Reader(base.model)
    shares = reader.shares  # tried before anything is recorded
    with torch.inference_mode(), mixture.record() as record:
        if shares:
            _read_shared(reader, base, pairs, batch_size)
        else:
            _read_whole(mixture, base, pairs, batch_size)
    parts = [part for part in ("all", "prompt", "response") if record.tokens(part)]
    return {
        "shares": {p: {k: round(v, 6) for k, v in record.shares(p).items()} for p in parts},
        "mean": {p: [[round(v, 6) for v in row] for row in record.mean(p).tolist()] for p in parts},
        "tokens": {p: record.tokens(p) for p in parts},
        "entropy": {p: round(record.entropy(p), 6) for p in parts},
    }


def _read_whole(mixture: Mixture, base: LoadedBase, pairs: Sequence[Pair], batch_size: int) -> None:
    """Read samples sorted by length, so that little is padding; sums do not depend on the order."""
    ordered = sorted(pairs, key=lambda pair: len(pair[0]))
    for first in range(0, len(ordered), batch_size):
        read(mixture, base, ordered[first : first + batch_size])


def _read_shared(reader: Reader, base: LoadedBase, pairs: Sequence[Pair], batch_size: int) -> None:
    """Read what prompts begin with once; it counts as often as it stands there."""
    known = rows_of(base.model)
    pad = int(base.tokenizer.pad_token_id)
    cut = [(ids[: base.context], start) for ids, start in pairs]
    texts = [
        Text(tuple(n if known is None or n < known else pad for n in ids), min(start, len(ids)))
        for ids, start in cut
    ]
    for group in groups([text.front for text in texts]):
        members = sorted((texts[n] for n in group.rows), key=lambda text: len(text.tokens))
        shared = members[0].tokens[: group.prefix]
        prefix = reader.begin(shared, len(members)) if shared else NOTHING
        for first in range(0, len(members), batch_size):
            reader.follow(members[first : first + batch_size], prefix)


def read(mixture: Mixture, base: LoadedBase, pairs: Sequence[Pair]) -> None:
    """Let the mixture read samples side by side, padded on the right, cut at the context.

    Args:
        mixture: A routed mixture, attached to the base's model; what records it sees the tokens.
        base: The base.
        pairs: The tokens of each sample, prompt and answer, and how many are the prompt's; at
            least one sample.
    """
    longest = min(base.context, max(len(ids) for ids, _ in pairs))
    rows = [row[:longest] for row, _ in pairs]
    ids, mask = side_by_side(rows, base.tokenizer.pad_token_id, "right")
    prompt = first_tokens([start for _, start in pairs], ids.shape[1])
    known = rows_of(base.model) or ids.max() + 1  # an answer may spell out a token it lacks
    ids[ids >= known] = base.tokenizer.pad_token_id
    # The stack alone: logits of every position would cost far more memory than the routing.
    model: Any = find_decoder(base.model, base.blocks).stack
    device = next(model.parameters()).device
    with mixture.annotate(prompt_mask=prompt.to(device)):
        model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
