"""Which of a model's own tasks make sense, and which of its answers are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from readers import READERS
from readers.coding import FunctionTruth
from readers.rules import Truth
from selfmoe.evaluation import sandbox
from selfmoe.evaluation.code import imported, passes
from selfmoe.kits.domains import procedural
from selfmoe.kits.domains.procedural import Style

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Label:
    """What a reader says about one task and its response.

    Attributes:
        truth: What is right; None if the task makes no sense to the reader.
        strict: The response is right and in the form that the domain prescribes.
        lenient: The response is right in any form.
    """

    truth: Truth | None
    strict: bool
    lenient: bool

    @property
    def spoilt(self) -> bool:
        """Whether the task is clear and excludes its right answer; see `Truth.spoilt`."""
        return self.truth is not None and self.truth.spoilt

    @property
    def sensible(self) -> bool:
        """Whether there is a right answer that the task allows."""
        return self.truth is not None and not self.truth.spoilt


def label(domain: str, style: Style, rows: Sequence[Row]) -> list[Label]:
    """Return the labels of tasks with responses, in their order.

    A response that never ended, or is not there, is wrong.

    Args:
        domain: Whose reader reads the tasks.
        style: The form that the domain prescribes.
        rows: Have `instruction`, `input` and `response`, perhaps `problem`.

    Raises:
        StageError: If generated programs have to be run and there is no sandbox.
    """
    truths = [READERS[domain](row["input"] or row["instruction"]) for row in rows]
    answers = ["" if row.get("problem") else row["response"] for row in rows]
    judge = _judge_programs if style == "code" else _judge_answers
    return judge(style, truths, answers)


def count(labels: Iterable[Label]) -> Counter[str]:
    """Return how many tasks there are, are understood, spoilt, sensible, and right.

    `strict` and `lenient` count right answers to sensible tasks, `spoilt_right` the answers that
    are right though a spoilt task excludes them.
    """
    counts: Counter[str] = Counter()
    for one in labels:
        counts["tasks"] += 1
        counts["understood"] += one.truth is not None
        counts["spoilt"] += one.spoilt
        counts["sensible"] += one.sensible
        counts["strict"] += one.sensible and one.strict
        counts["lenient"] += one.sensible and one.lenient
        counts["spoilt_right"] += one.spoilt and one.lenient
    return counts


def _judge_answers(
    style: Style, truths: Sequence[Truth | None], answers: Sequence[str]
) -> list[Label]:
    return [
        Label(
            truth,
            truth is not None and procedural.strict(style, answer, truth.answer),
            truth is not None and procedural.lenient(answer, truth.answer),
        )
        for truth, answer in zip(truths, answers, strict=True)
    ]


def _judge_programs(
    style: Style, truths: Sequence[Truth | None], answers: Sequence[str]
) -> list[Label]:
    pairs = list(zip(truths, answers, strict=True))
    strict = [
        _with_tests(truth, procedural.program(answer, strict=True)) for truth, answer in pairs
    ]
    loose = [_with_tests(truth, procedural.program(answer)) for truth, answer in pairs]
    right = _right([program for program in (*strict, *loose) if program])
    return [
        Label(truth, right.get(prescribed, False), right.get(prescribed or other, False))
        for truth, prescribed, other in zip(truths, strict, loose, strict=True)
    ]


def _with_tests(truth: Truth | None, program: str | None) -> str:
    """Return a program followed by what must hold of it; empty if there is no such."""
    if program is None or not isinstance(truth, FunctionTruth):
        return ""
    return "\n".join([program, "", *truth.tests, ""])


def _right(programs: Iterable[str]) -> dict[str, bool]:
    """Return which of the programs run to their end, each run once in the sandbox."""
    distinct = list(dict.fromkeys(programs))
    verdicts = sandbox.run_many([imported(program) for program in distinct])
    return {
        program: passes(program) if verdict.status == "infra_error" else verdict.status == "passed"
        for program, verdict in zip(distinct, verdicts, strict=True)
    }
