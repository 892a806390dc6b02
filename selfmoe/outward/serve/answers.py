"""What clients are answered with: log-probabilities, routing and counts, as OpenAI has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from selfmoe.models.generation.records import Likely
from selfmoe.outward.serve.asked import Asked

Json = dict[str, Any]


def usage(rows: Sequence[Asked]) -> Json:
    """Return how many tokens were read and written; each prompt counts once."""
    prompts = {id(row.prompt): len(row.prompt) for row in rows}
    read, new = sum(prompts.values()), sum(len(row.new) for row in rows)
    return {"prompt_tokens": read, "completion_tokens": new, "total_tokens": read + new}


def pieces(tokenizer: Any, ids: Sequence[int], before: int) -> Iterator[str]:
    """Yield the text of each token behind another one.

    Args:
        tokenizer: Their tokenizer.
        ids: The tokens.
        before: What the first one stands behind.
    """
    for last, token in zip([before, *ids], ids, strict=False):
        pair, alone = tokenizer.decode([last, token]), tokenizer.decode([last])
        yield pair[len(alone) :] if pair.startswith(alone) else tokenizer.decode([token])


class Noted:
    """The log-probabilities of a row.

    Args:
        tokenizer: The tokenizer.
        row: The row.
    """

    def __init__(self, tokenizer: Any, row: Asked) -> None:
        self._tokenizer, self._row = tokenizer, row

    def in_chat(self, start: int, end: int) -> Json:
        """Return those of some new tokens as chats have them."""
        return {"content": [self._entry(*one) for one in self._new(start, end)], "refusal": None}

    def in_text(self, start: int, end: int, *, echo: bool = False, offset: int = 0) -> Json:
        """Return those of some new tokens as completions have them.

        Args:
            start: The first one.
            end: The one behind the last.
            echo: Whether those of the prompt stand before them.
            offset: Characters that were told before.
        """
        entries = list(chain(self._prompt() if echo else (), self._new(start, end)))
        offsets = [offset]
        for text, _ in entries:
            offsets.append(offsets[-1] + len(text))
        tops = [None if one is None else self._named(one) for _, one in entries]
        return {
            "tokens": [text for text, _ in entries],
            "token_logprobs": [None if one is None else one.logprob for _, one in entries],
            "top_logprobs": tops if self._row.tops else None,
            "text_offset": offsets[:-1],
        }

    def _new(self, start: int, end: int) -> Iterator[tuple[str, Likely]]:
        before = [self._row.prompt[-1], *self._row.new[:start]][-1]
        texts = pieces(self._tokenizer, self._row.new[start:end], before)
        return zip(texts, self._row.likely[start:end], strict=True)

    def _prompt(self) -> Iterator[tuple[str, Likely | None]]:
        ids = self._row.prompt
        texts = [self._tokenizer.decode([ids[0]]), *pieces(self._tokenizer, ids[1:], ids[0])]
        return zip(texts, [None, *(self._row.prior or ())], strict=True)

    def _named(self, one: Likely) -> Json:
        return {self._tokenizer.decode([token]): logprob for token, logprob in one.tops}

    def _entry(self, text: str, one: Likely) -> Json:
        tops = [(self._tokenizer.decode([token]), logprob) for token, logprob in one.tops]
        return {**_piece(text, one.logprob), "top_logprobs": [_piece(*top) for top in tops]}


def _piece(text: str, logprob: float) -> Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def routing(routes: Sequence[Tensor]) -> Json:
    """Return the experts of tokens as vLLM's ``routed_experts`` has them: ``[token][block][k]``.

    Those with the most weight come first; where a token has fewer experts than another one, -1
    stands in their place. ``routed_weights`` holds their weights, of the same shape.

    Args:
        routes: Weights, shapes ``(tokens, blocks, n_experts)``.
    """
    if not routes:
        return {"routed_experts": [], "routed_weights": []}
    weights = torch.cat(list(routes))
    most = max(1, int((weights > 0).sum(-1).max())) if len(weights) else 1
    best = weights.topk(most)
    ids = best.indices.where(best.values > 0, -1)
    return {
        "routed_experts": ids.tolist(),
        "routed_weights": [
            [[round(w, 4) for w in block] for block in token] for token in best.values.tolist()
        ],
    }
