"""Continuations of a backend: cut as the engine cuts, with the tokens that were generated."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from selfmoe.contracts.backend import Asked, Manner, Writer, Written
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.generation.records import Continuation, Progress, Row, Sampling, Tell
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.models.remote.kept import Kept
from selfmoe.models.spelling import text_behind
from selfmoe.models.tokens import check_known, prompt_ids, text_ids

Question = TypeVar("Question")


class Remote:
    """A backend at work, asked as ``generation.generate`` is.

    Args:
        writer: The backend at work.
        base: The base of the run.
        kept: Where answers are kept as they come; ``None``: nowhere.

    Attributes:
        writer: The backend at work.
    """

    def __init__(self, writer: Writer, base: LoadedBase, kept: Kept | None = None) -> None:
        self.writer, self._base, self._kept = writer, base, kept
        self._model, self._tokenizer = base.model, base.tokenizer

    def keeping(self, folder: Path) -> Remote:
        """Return the same, but that answers are kept in a folder, and looked for there first.

        Args:
            folder: Of work that is under way; to be gone when that is done.
        """
        return Remote(self.writer, self._base, Kept(folder))

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
        tell, found = _Told(len(prompts), progress), dict[int, Continuation]()

        def take(place: int, answer: Any, fresh: bool) -> None:
            new = _written(answer)
            text, one = prompts[place], asked[place]
            found[place] = self._continuation(text, one, new, stops, max_new_tokens)
            tell(len(new.tokens or ()) if fresh else 0)

        keys = [(*manner, *one) for one in asked]
        self._answers(asked, keys, lambda some, told: self.writer.write(some, manner, told), take)
        return [found[place] for place in range(len(prompts))]

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
        scores: dict[Any, float] = {}

        def take(place: int, answer: float, _: bool) -> None:
            scores[known[place]] = answer
            if progress is not None:
                progress(len(scores) * len(pairs) // len(known))

        self._answers(known, known, self.writer.score, take)
        return [scores[tuple(p)[-(context - len(o)) :], tuple(o)] for p, o in pairs]

    def _answers(
        self,
        asked: Sequence[Question],
        keys: Sequence[Sequence[Any]],
        ask: Callable[[Sequence[Question], Callable[[int, Any], None]], Sequence[Any]],
        take: Callable[[int, Any, bool], None],
    ) -> None:
        """Have every question answered: by what is kept, or by who is asked.

        Args:
            asked: The questions.
            keys: What each answer depends on.
            ask: Asks some; tells the place and the answer of each as it comes.
            take: Takes each answer once, with its place and whether it is a new one. A new one is
                kept unless this raises.

        Raises:
            StageError: If an answer that is told is not the one that is returned in its place.
        """
        kept = self._kept
        missing = []
        for place, key in enumerate(keys):
            if kept is None or (answer := kept.get(key)) is None:
                missing.append(place)
            else:
                take(place, answer, False)
        told: dict[int, Any] = {}

        def came(number: int, answer: Any) -> None:
            place = missing[number]
            if number not in told:
                told[number] = answer
                take(place, answer, True)
                if kept is not None:
                    kept.add(keys[place], answer)

        if missing:
            for number, answer in enumerate(ask([asked[place] for place in missing], came)):
                came(number, answer)
                if told[number] != answer:
                    if kept is not None:
                        kept.drop()
                    raise StageError(
                        f"{self.writer.name} told {told[number]!r} of text {number} of "
                        f"{len(missing)} and returned {answer!r}\n  This is a fault of the "
                        "backend: `told` takes the place of an answer among those asked for."
                    )


def _written(answer: Sequence[Any]) -> Written:
    """Return what was written, also of what JSON made of it."""
    text, ended, tokens = answer
    return Written(text, ended, None if tokens is None else tuple(tokens))


class _Told:
    """Tells how far continuations are."""

    def __init__(self, rows: int, progress: Tell | None) -> None:
        self._rows, self._progress, self._start = rows, progress, time.monotonic()
        self._done = self._tokens = 0

    def __call__(self, tokens: int) -> None:
        self._done += 1
        self._tokens += tokens
        if self._progress is not None:
            seconds = time.monotonic() - self._start
            self._progress(Progress(self._done, self._rows, self._tokens, seconds))
