"""The one way to let a model write: a queue of prompts in, continuations out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch

from selfmoe.models.attending import Attending
from selfmoe.models.generation.ability import comes_and_goes, keeps_order
from selfmoe.models.generation.continuous import Continuous, ordered
from selfmoe.models.generation.drawing import draws
from selfmoe.models.generation.records import Continuation, Progress, Row, Sampling, Tell
from selfmoe.models.generation.room import rows_at_once
from selfmoe.models.generation.static import Static
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.models.laid_out import LaidOut
from selfmoe.models.tokens import check_known, padding, prompt_ids


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    ends: Collection[int] = (),
    sampling: Sampling | None = None,
    seeds: Sequence[int] = (),
    batch_size: int | None = None,
    progress: Tell | None = None,
) -> list[Continuation]:
    """Return one continuation a prompt, in the order of the prompts; see ``stream``.

    Raises:
        DataError: If a prompt holds a token that the model has no row for.
    """
    found = stream(
        model,
        tokenizer,
        prompts,
        max_new_tokens=max_new_tokens,
        stop=stop,
        ends=ends,
        sampling=sampling,
        seeds=seeds,
        batch_size=batch_size,
        progress=progress,
    )
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def stream(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    ends: Collection[int] = (),
    sampling: Sampling | None = None,
    seeds: Sequence[int] = (),
    batch_size: int | None = None,
    progress: Tell | None = None,
) -> Iterator[tuple[int, Continuation]]:
    """Yield the number of each prompt and its continuation, as they end.

    A continuation depends on its own prompt and seed. What else is asked, in which order and how
    many at once, changes no more than the rounding of logits (see ``Continuation.margin``).

    Args:
        model: Anything with transformers' ``generate``.
        tokenizer: Its tokenizer.
        prompts: Texts to continue.
        max_new_tokens: Longest continuation, in tokens.
        stop: Strings that end a continuation.
        ends: Tokens that end one besides those by which the model ends texts.
        sampling: How to draw; without it the likeliest tokens are taken.
        seeds: What to draw by, one a prompt; only with ``sampling``.
        batch_size: Most prompts at once; by default as many as there is memory for.
        progress: Is told after every step.

    Raises:
        DataError: If a prompt holds a token that the model has no row for.
    """
    stops = Stops(ends_of(model, tokenizer) | set(ends), stop, tokenizer)
    rows = [
        Row(n, prompt_ids(tokenizer, prompt), most=max_new_tokens, stops=stops, sampling=sampling)
        for n, prompt in enumerate(prompts)
    ]
    for row in rows:
        check_known(tokenizer, model, row.prompt)
    if sampling is not None:
        for row, seed in zip(rows, seeds, strict=True):
            row.draws = draws(seed, max_new_tokens)
    if not rows:
        return
    attending = Attending(model)
    with torch.inference_mode(), attending:
        slots = batch_size or rows_at_once(model, rows, max_new_tokens)
        engine, order, slots = _engine(model, rows, slots)
    pad = padding(tokenizer)
    batch = (
        Static(model, pad, slots)
        if engine is Static
        else Continuous(model, pad, slots, max_new_tokens)
    )
    with LaidOut(model):
        for row in _inferring(batch.run(order, _teller(rows, progress)), attending):
            yield row.number, stops.continuation(row, tokenizer)


def _inferring(rows: Iterator[Row], attending: Attending) -> Iterator[Row]:
    """Yield rows, in inference mode while they run and not while the caller has them."""
    while True:
        with torch.inference_mode(), attending:
            row = next(rows, None)
        if row is None:
            return
        yield row


def _engine(
    model: Any, rows: list[Row], slots: int
) -> tuple[type[Continuous | Static], list[Row], int]:
    """Return what lets rows run, their order, and how many of them at once."""
    if keeps_order(model):
        return Static, rows, len(rows)
    if all(len(row.prompt) > 1 for row in rows) and comes_and_goes(model):
        return Continuous, ordered(rows), slots
    return Static, sorted(rows, key=lambda row: -len(row.prompt)), slots


def _teller(rows: Sequence[Row], progress: Tell | None) -> Callable[[], None]:
    """Return what tells how far rows are."""
    start = time.monotonic()

    def tell() -> None:
        if progress is not None:
            done, tokens = sum(row.ended for row in rows), sum(len(row.new) for row in rows)
            progress(Progress(done, len(rows), tokens, time.monotonic() - start))

    return tell
