"""Continuations of a backend: cut as the engine cuts, with the tokens that were generated."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from selfmoe.contracts.backend import Asked, Manner, Writer, Written
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.generation.records import Continuation, Progress, Row, Sampling, Tell
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.models.spelling import text_behind
from selfmoe.models.tokens import check_known, prompt_ids, text_ids


class Remote:
    """A backend at work, asked as ``generation.generate`` is.

    Args:
        writer: The backend at work.
        base: The base of the run.

    Attributes:
        writer: The backend at work.
    """

    def __init__(self, writer: Writer, base: LoadedBase) -> None:
        self.writer, self._model, self._tokenizer = writer, base.model, base.tokenizer

    def generate(
        self,
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
        """Return one continuation a prompt, in the order of the prompts.

        Args:
            prompts: Texts to continue.
            max_new_tokens: Longest continuation, in tokens.
            stop: Strings that end a continuation.
            ends: Tokens that end one besides those by which the model ends texts.
            sampling: How to draw; without it the likeliest tokens are taken.
            seeds: What to draw by, one a prompt; only with ``sampling``.
            batch_size: Of no meaning here: the backend decides.
            progress: Is told of every continuation that ends.

        Raises:
            DataError: If a prompt holds a token that the model has no row for.
            StageError: If a continuation cannot be had, or its tokens cannot be told.
        """
        stops = Stops(
            (ends_of(self._model, self._tokenizer) | set(ends)) - {None}, stop, self._tokenizer
        )
        heat = (0.0, 1.0) if sampling is None else (sampling.temperature, sampling.top_p)
        manner = Manner(max_new_tokens, tuple(stop), tuple(ends), *heat)
        asked = self._asked(prompts, list(seeds) if sampling else [None] * len(prompts))
        told = _Told(len(prompts), progress)
        found = self.writer.write(asked, manner, told) if asked else ()
        return [
            self._continuation(text, one, new, stops, max_new_tokens)
            for text, one, new in zip(prompts, asked, found, strict=True)
        ]

    def _asked(self, prompts: Sequence[str], seeds: Sequence[int | None]) -> list[Asked]:
        asked = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            ids = tuple(prompt_ids(self._tokenizer, prompt))
            check_known(self._tokenizer, self._model, ids)
            text = None if isinstance(prompt, ChatPrompt) else str(prompt)
            asked.append(Asked(ids, text, seed))
        return asked

    def _continuation(
        self, prompt: str, asked: Asked, new: Written, stops: Stops, most: int
    ) -> Continuation:
        if new.tokens is None:
            return self._of_text(prompt, new, stops)
        row = Row(0, asked.ids, most=most, stops=stops)
        for token in new.tokens:
            if row.ended:
                break
            row.write(token)
        found = stops.continuation(row, self._tokenizer)
        # Some leave out what ended a text.
        return replace(found, finished=found.finished or (new.ended and not row.ended))

    def _of_text(self, prompt: str, new: Written, stops: Stops) -> Continuation:
        """Return a continuation of which only the text is known; its tokens are those of that."""
        text = plain_lines(new.text)
        cuts = [text.index(string) for string in stops.strings if string in text]
        shown = text[: min(cuts)] if cuts else text
        tokens = tuple(text_ids(self._tokenizer, shown, after=prompt))
        ended = new.ended or bool(cuts)
        if ended and text_behind(self._tokenizer, tokens) != shown:
            raise StageError(
                f"{self.writer.name} tells texts without their tokens, and the tokenizer of the "
                f"base does not give back {shown[:80]!r}\n  Take a server that returns the tokens "
                "it generates, or leave generate.backend out."
            )
        return Continuation(shown, ended, tokens, inf, tokens)

    def likelihoods(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        *,
        context: int,
        progress: Any = None,
    ) -> list[float]:
        """Return how likely (natural log) each of some continuations is.

        Args:
            pairs: The tokens of a prompt and of what follows it; at least one of each.
            context: Tokens that the model reads at the most; longer prompts lose their front.
            progress: Told how many pairs are done.

        Raises:
            NotSupportedError: If the backend gives no likelihoods.
            StageError: If one cannot be had.
        """
        known = list(dict.fromkeys((tuple(p)[-(context - len(o)) :], tuple(o)) for p, o in pairs))
        done = 0

        def told(_: float) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done * len(pairs) // len(known))

        scores = dict(zip(known, self.writer.score(known, told), strict=True))
        return [scores[tuple(p)[-(context - len(o)) :], tuple(o)] for p, o in pairs]


class _Told:
    """Tells how far continuations are."""

    def __init__(self, rows: int, progress: Tell | None) -> None:
        self._rows, self._progress, self._start = rows, progress, time.monotonic()
        self._done = self._tokens = 0

    def __call__(self, new: Written) -> None:
        self._done += 1
        self._tokens += len(new.tokens or ())
        if self._progress is not None:
            seconds = time.monotonic() - self._start
            self._progress(Progress(self._done, self._rows, self._tokens, seconds))
