"""Who writes texts with a base, if not the process of a run: a program with the same model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import LoadedBase


class Asked(NamedTuple):
    """A text to go on with.

    Attributes:
        ids: Its tokens, with those that open a text; they are what is meant.
        text: The same in words; ``None`` where it holds special tokens, which words cannot tell.
        seed: What to draw by, in 0..2**63 - 1; ``None`` where the likeliest tokens are wanted.
    """

    ids: tuple[int, ...]
    text: str | None
    seed: int | None = None


class Manner(NamedTuple):
    """How to go on.

    Attributes:
        max_new_tokens: Longest continuation, in tokens.
        stop: Strings that end one. Who writes on behind them wastes time, no more: the engine cuts.
        ends: Tokens that end one, besides those by which the model ends texts.
        temperature: What logits are divided by; 0 for the likeliest tokens.
        top_p: The likeliest tokens that make up this much together are drawn from; 1 for all.
    """

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0


class Written(NamedTuple):
    """What was written after a text.

    Attributes:
        text: What it reads as.
        ended: Whether it ended by itself, not at the token limit.
        tokens: The tokens as they were generated; ``None`` where they are not told. Then they are
            those of the text, which must spell it.
    """

    text: str
    ended: bool
    tokens: tuple[int, ...] | None = None


class Writer(ABC):
    """A backend at work, with the base of a run.

    Attributes:
        name: What errors call it.
        part: Texts that are asked for at once.
    """

    name: str
    part: int = 96

    @abstractmethod
    def write(
        self, asked: Sequence[Asked], manner: Manner, told: Callable[[int, Written], None]
    ) -> Sequence[Written]:
        """Return what is written after each text, in their order.

        Args:
            asked: The texts.
            manner: How to go on, for all of them.
            told: Is told the place of each among ``asked``, and what was written, as it comes, in
                any order, one at a time. It is kept from then on, also where work is killed.

        Raises:
            StageError: If one cannot be had, after all tries.
        """

    def score(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        told: Callable[[int, float], None],
    ) -> Sequence[float]:
        """Return how likely (natural log) the second tokens of each pair are behind the first.

        Args:
            pairs: A prompt's tokens and an answer's; at least one of each.
            told: Is told the place and the likelihood of each as it comes, in any order.

        Raises:
            NotSupportedError: If that cannot be had; says who does not give it.
            StageError: If one cannot be had, after all tries.
        """
        raise NotSupportedError(f"{self.name} gives no likelihoods of texts")


class Backend(Component):
    """A program that writes texts with the base of a run in place of the run's own process.

    It must have the same model and tokenizer: a run compares what both write before it begins.

    Attributes:
        made_with: Its options that are part of the keys of cells, such as the model's name. Where
            it is asked and how many texts at once are none of them.
    """

    made_with: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def open(self, base: LoadedBase) -> Writer:
        """Return what writes with a base.

        Raises:
            StageError: If it cannot be reached.
        """
