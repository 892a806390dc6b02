"""Whether a backend has the model and the tokenizer of a run: both are asked, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from selfmoe.contracts.backend import Asked, Manner, Writer, Written
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.generation import generate
from selfmoe.models.spelling import text_behind
from selfmoe.models.tokens import prompt_ids, text_ids

PROBES = (
    "The capital of France is",
    "Question: What is 17 + 25?\nAnswer:",
    "def add(a, b):\n    return",
    "1, 2, 3, 4, 5,",
    "Once upon a time there was a",
    "Water boils at 100 degrees. Ice melts at",
    "Instruction: Sort the list.\nInput: 9, 4, 7\n\nResponse:",
    "Il était une fois, dans un pays lointain,",
    '{"name": "Ann", "age": 31, "city":',
    "Monday, Tuesday, Wednesday,",
)
"""What both are asked to go on with, by their likeliest tokens."""

TOKENS = 16
"""New tokens a probe."""
CLOSE = 0.02
"""How far below the best logit that of a token may lie, as a part of the distance of the best from
the mean: what number formats and kernels make of a tie. Another model is beyond it soon."""


class Difference(NamedTuple):
    """Where a backend goes another way than the base.

    Attributes:
        probe: What both went on with.
        theirs: What the backend wrote.
        ours: What the base writes.
    """

    probe: str
    theirs: str
    ours: str


def check_same(writer: Writer, base: LoadedBase) -> None:
    """Refuse a backend whose model or tokenizer is not the base's.

    Raises:
        StageError: If it is not; says what differs.
    """
    asked = [Asked(tuple(prompt_ids(base.tokenizer, probe)), probe) for probe in PROBES]
    found = writer.write(asked, Manner(TOKENS), lambda *_: None)
    odd = None
    for probe, one, new in zip(PROBES, asked, found, strict=True):
        odd = odd or _difference(base, probe, one, new)
    if odd is not None:
        raise StageError(
            f"{writer.name} does not serve the base '{base.name}': after {odd.probe!r} it writes "
            f"{odd.theirs!r}, the base {odd.ours!r}\n  Let the server load the files of the base, "
            "without another tokenizer, adapters, quantisation or penalties of its own; or leave "
            "generate.backend out."
        )


def _difference(base: LoadedBase, probe: str, asked: Asked, new: Written) -> Difference | None:
    tokenizer = base.tokenizer
    if new.tokens is None and _same_text(base, probe, new.text):
        return None
    ids = text_ids(tokenizer, new.text, after=probe) if new.tokens is None else list(new.tokens)
    ours = text_behind(tokenizer, ids)
    if new.tokens is not None and not new.ended and not _reads(new.text, ours):
        return Difference(probe, new.text, f"tokens {ids} as {ours}")
    logits = _logits(base.model, [*asked.ids, *ids], len(ids))
    for place, (row, token) in enumerate(zip(logits, ids, strict=True)):
        if token >= len(row) or row.max() - row[token] > CLOSE * (row.max() - row.mean()):
            best = [*ids[:place], int(row.argmax())]
            return Difference(probe, new.text, text_behind(tokenizer, best))
    return None if ids or new.ended else Difference(probe, new.text, "something")


def _same_text(base: LoadedBase, probe: str, text: str) -> bool:
    """Return whether the base writes a text, too; bytes that are no character look alike."""
    [own] = generate(base.model, base.tokenizer, [probe], max_new_tokens=TOKENS)
    return own.text.strip() == plain_lines(text).strip()


def _reads(theirs: str, ours: str) -> bool:
    """Return whether a server reads tokens as the base's tokenizer does, but for open ends."""
    ends = " \n\t\r\N{REPLACEMENT CHARACTER}"
    a, b = plain_lines(theirs).strip(ends), ours.strip(ends)
    return a.startswith(b) or b.startswith(a)


def _logits(model: Any, ids: Sequence[int], last: int) -> Any:
    """Return the logits before each of the last tokens, shape ``(last, vocabulary)``."""
    if not last:
        return []
    known = int(model.get_input_embeddings().num_embeddings)
    read = torch.tensor([[min(token, known - 1) for token in ids[:-1]]], device=model.device)
    with torch.inference_mode():
        return model(input_ids=read, use_cache=False).logits[0, -last:].float()
