"""What a system is asked, and how its answers are told right from wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from selfmoe.contracts.prompts import plain
from selfmoe.contracts.records import Instruction, ScoredSplit


class Benchmark(ABC):
    """Items with a question, a right answer and a way to tell.

    Attributes:
        name: Unique within the domain; the id is ``<domain>/<name>``.
        splits: The splits there are items for: ``test`` to publish, ``dev`` to tune on.
        role: ``target`` benchmarks enter the average, the others are shown beside it.
        template: ``alpaca`` asks as experts were trained, in Alpaca's template or in that of the
            run (``prompts.template``); ``plain`` is the harness's own prompt.
        shots: Solved examples to put before the question; they come from ``pool``.
        separator: What follows each of them in the ``plain`` prompt.
        rule: How answers are found in completions: a name in ``selfmoe.evaluation.answers.RULES``,
            or a sentence.
        max_new_tokens: Longest answer, in tokens.
        stop: Strings that end an answer.
        needs_sandbox: Whether ``score`` runs generated code.
        remote: Whether items must be fetched; then it is only asked if it is a target or named.
    """

    name: str
    splits: tuple[ScoredSplit, ...] = ("test", "dev")
    role: Literal["target", "non-target"] = "target"
    template: Literal["alpaca", "plain"] = "alpaca"
    shots: int = 0
    separator: str = "\n\n"
    rule: str = ""
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    needs_sandbox: bool = False
    remote: bool = False

    @property
    @abstractmethod
    def items(self) -> Sequence[Mapping[str, Any]]:
        """What is scored, one mapping an item; every item has an ``id``.

        Raises:
            DataError: If the data is missing or malformed.
        """

    @property
    def pool(self) -> Sequence[Mapping[str, Any]]:
        """Where solved examples come from, in order; disjoint from ``items`` (default: none)."""
        return ()

    @property
    def extra(self) -> Mapping[str, Any]:
        """Facts shown beside the score, such as which files were there (default: none)."""
        return {}

    def files(self) -> Sequence[Path]:
        """Return the files it is read from; when they change, it is evaluated again.

        Raises:
            MissingDataError: If one is not there.
        """
        return ()

    def conditions(self) -> Mapping[str, Any]:
        """Return what else its verdicts depend on, such as whether a library is installed.

        When that changes, it is evaluated again. Nothing may be read for it: planning asks.
        """
        return {}

    @abstractmethod
    def ask(self, doc: Mapping[str, Any]) -> Instruction:
        """Return the item as an instruction, for the template that experts were trained in."""

    def reworded(self, doc: Mapping[str, Any]) -> Instruction | None:
        """Return the same task in other words; ``None`` (default) if it knows no others."""
        return None

    def plain(self, doc: Mapping[str, Any]) -> str:
        """Return the item as the harness puts it, for the ``plain`` template."""
        return plain(self.ask(doc))

    def preamble(self, doc: Mapping[str, Any]) -> str:
        """Return the text that opens the ``plain`` prompt, before any shots (default: none)."""
        return ""

    def stops(self, template: str) -> tuple[str, ...]:
        """Return the strings that end an answer asked for in that template (default: ``stop``).

        In a chat a turn ends by itself, so by default none hold there where the benchmark is asked
        as experts were trained.

        Args:
            template: ``alpaca``, ``examples``, ``plain`` (the harness's own prompt), ``chat`` or
                ``bare`` (the task with nothing around it).
        """
        return () if template == "chat" and self.template == "alpaca" else self.stop

    def group(self, doc: Mapping[str, Any]) -> str:
        """Return the part of the benchmark a doc belongs to; examples stay within theirs."""
        return ""

    def choices(self, doc: Mapping[str, Any]) -> Sequence[str] | None:
        """Return the options to compare by log-likelihood, or ``None`` to let the model write."""
        return None

    def pick(self, doc: Mapping[str, Any], chances: Sequence[float]) -> int:
        """Return which option counts as the answer: the likeliest, of equal ones the first.

        Args:
            doc: An item with ``choices``.
            chances: The log-likelihood (natural) of each.
        """
        return max(range(len(chances)), key=chances.__getitem__)

    def weigh(self, doc: Mapping[str, Any], chances: Sequence[float]) -> Mapping[str, float]:
        """Return the scores of an item with ``choices``; by default those of the picked option."""
        return self.score(doc, (self.choices(doc) or ())[self.pick(doc, chances)])

    @abstractmethod
    def score(self, doc: Mapping[str, Any], completion: str) -> Mapping[str, float]:
        """Return ``{"score": 0..1}``, with ``"lenient"`` too where forms of answer are told apart.

        For items with ``choices``, ``completion`` is the option picked.
        """

    def extract(self, doc: Mapping[str, Any], completion: str) -> str | None:
        """Return what ``score`` takes for the answer, for a reader; ``None`` if it finds none."""
        return completion.strip() or None

    @abstractmethod
    def gold(self, doc: Mapping[str, Any]) -> str:
        """Return a completion that must score 1.0; also the answer shown in few-shot examples."""

    @abstractmethod
    def wrong(self, doc: Mapping[str, Any]) -> str:
        """Return a plausible completion that must score 0.0."""
