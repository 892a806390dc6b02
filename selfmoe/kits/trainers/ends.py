"""What a teacher means by the end of an answer, as the token that experts end theirs with.

The base ends an answer the way its prompt separates tasks, by a blank line, an expert by
end-of-text. So what a teacher gives to the tokens that begin such an end counts as end-of-text.
In a chat both end by the token that ends a turn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.asking import end_of
from selfmoe.models.generation.stopping import ends_of
from selfmoe.models.tokens import rows_of, text_ids

LEFT = 1e-3
"""Share of its probability that such a token keeps, so that no divergence is infinite."""


@dataclass(frozen=True)
class Ends:
    """Tokens that end an answer.

    Attributes:
        text: End-of-text, or in a chat the end of a turn, by which experts end.
        others: What else ends an answer for the teacher.
        told: Whether an end that its prompts call for, written as usual, begins with one of them;
            true where they call for none but that of experts.
    """

    text: int
    others: tuple[int, ...]
    told: bool = True

    def counted(self, logs: Tensor) -> Tensor:
        """Return log-probabilities in which the others count as end-of-text.

        Args:
            logs: A teacher's, shape ``(tokens, vocabulary)``; may be changed.
        """
        if not self.others:
            return logs
        others = torch.tensor(self.others, device=logs.device)
        given = logs[:, others]
        moved = given.logsumexp(-1) + math.log1p(-LEFT)
        logs[:, others] = given + math.log(LEFT)
        logs[:, self.text] = torch.logaddexp(logs[:, self.text], moved)
        return logs


def ends_among(
    base: LoadedBase, stop: Sequence[str], answers: Sequence[Sequence[int]], *, rare: float = 0.0
) -> Ends:
    """Return what ends answers of a base.

    These are the tokens that a stop string begins with, or that begin with one, but for those that
    stand within answers: there they may mean what they say.

    Args:
        base: The base.
        stop: What its prompts end answers with.
        answers: Tokens of the answers it has given.
        rare: Share of the answers within which a token may stand all the same, in 0..1.
    """
    text = end_of(base.tokenizer, base.template)
    times = Counter(chain.from_iterable(map(set, answers)))
    within = {token for token, count in times.items() if count > rare * len(answers)} | {text}
    opening = _opening(base, stop) - within
    usual = (text_ids(base.tokenizer, f"{end}A", after="a")[0] for end in stop)
    told = not stop or not opening.isdisjoint(usual)
    named = {token for token in ends_of(base.model, base.tokenizer) if token is not None}
    return Ends(text, tuple(sorted(opening | named - within)), told)


def _opening(base: LoadedBase, stop: Sequence[str]) -> set[int]:
    tokenizer: Any = base.tokenizer
    known = range(min(len(tokenizer), rows_of(base.model) or len(tokenizer)))
    texts = tokenizer.batch_decode([[token] for token in known])
    return {token for token, text in zip(known, texts, strict=True) if _opens(text, stop)}


def _opens(text: str, stop: Sequence[str]) -> bool:
    whole = plain_lines(text)
    return any(whole.startswith(end) or (text and end.startswith(text)) for end in stop)
