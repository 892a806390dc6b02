"""What generation is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens; without it the likeliest token is taken.

    Attributes:
        temperature: What logits are divided by; above 0.
        top_p: The likeliest tokens that make up this much together are drawn from; 1 for all.
    """

    temperature: float
    top_p: float


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the model wrote after a prompt.

    Attributes:
        text: Without the stop string and what follows it; its lines end in plain newlines.
        finished: Whether it ended by itself, not at the token limit.
        tokens: All tokens that were written, the stop string's included.
        spelling: The tokens of the text: those that were written, up to what ended it. Where a
            token reaches from the text into the stop string, the text's share of it is encoded.
        margin: How near another token came, at the step where one came nearest: the distance of
            the two best logits or, where tokens are drawn, of the draw from the border of another
            token, as a probability. Rounding, which differs between batches, processors and
            numbers of threads, can change a text whose margin is tiny, and no other.
    """

    text: str
    finished: bool
    tokens: tuple[int, ...] = ()
    margin: float = field(default=inf, compare=False)
    spelling: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far generation is.

    Attributes:
        done: Continuations that have ended.
        rows: Continuations asked for.
        tokens: Tokens written so far.
        seconds: Time since the beginning.
    """

    done: int
    rows: int
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds if self.seconds else 0.0


Tell = Callable[[Progress], None]
"""Is told of progress, after every step."""


class Ending(Protocol):
    """What ends a continuation."""

    def ended(self, new: Sequence[int]) -> bool:
        """Return whether the last of these new tokens ends it."""


@dataclass(frozen=True, slots=True)
class Likely:
    """How likely a token was that was written.

    Attributes:
        logprob: Its log-probability (natural log) by the model's logits as they are.
        tops: The likeliest tokens at its place and their log-probabilities, the likeliest first.
    """

    logprob: float
    tops: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True, eq=False)
class Row:
    """One prompt on its way.

    Attributes:
        number: Its place among the prompts.
        prompt: Its tokens.
        draws: For each new token a number in 0..1 that decides which it is; ``None`` if the
            likeliest is taken.
        shared: How many of its first tokens are read once for several prompts.
        new: The tokens written so far.
        ended: Whether it writes no more.
        start: The column of its first token in the running batch.
        margin: See ``Continuation``.
        most: Longest continuation, in tokens.
        stops: What ends it before.
        sampling: How to draw; without it the likeliest tokens are taken.
        tops: How many of the likeliest tokens are noted at each place; ``None``: nothing is.
        likely: How likely each new token was, if that is noted.
    """

    number: int
    prompt: Sequence[int]
    draws: Sequence[float] | None = None
    shared: int = 0
    new: list[int] = field(default_factory=list)
    ended: bool = False
    start: int = 0
    margin: float = inf
    most: int = 1
    stops: Ending | None = None
    sampling: Sampling | None = None
    tops: int | None = None
    likely: list[Likely] = field(default_factory=list)

    def write(self, token: int) -> None:
        """Take the next token."""
        self.new.append(token)
        stopped = self.stops is not None and self.stops.ended(self.new)
        self.ended = stopped or len(self.new) >= self.most
