"""What NQ-open and TriviaQA share: questions with short answers, any of which is right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from selfmoe.contracts import DataError, Instruction
from selfmoe.kits.domains import UpstreamBenchmark, short, tidy

Doc = Mapping[str, Any]

_END = re.compile(r"[.,。，、।،\n]")


class ShortAnswers(UpstreamBenchmark):
    """Exact match of the first line with one of the answers, in lower case and without articles.

    ``lenient`` also compares what stands before the first full stop or comma, where lm-eval stops
    generation. Items have ``question`` and ``answers``, the first of which is shown in examples.
    """

    role = "non-target"
    shots = 5
    max_new_tokens = 32
    stop = ("\n",)
    rule = "short"

    def ask(self, doc: Doc) -> Instruction:
        """Return the question as a task without input."""
        return Instruction(tidy(doc["question"]))

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return ``score`` and ``lenient``, each 0 or 1."""
        right = {short(answer) for answer in doc["answers"]}
        line = completion.strip()
        strict = short(line) in right
        loose = strict or (short(_END.split(line, maxsplit=1)[0]) or "") in right
        return {"score": float(strict), "lenient": float(loose)}

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the first line in the form that is compared."""
        return short(completion)

    def gold(self, doc: Doc) -> str:
        """Return the first of the answers."""
        return str(doc["answers"][0])

    def wrong(self, doc: Doc) -> str:
        """Return the denial of the first answer."""
        return f"not {self.gold(doc)}"


def checked_answers(answers: Any, where: str) -> list[str]:
    """Return answers without outer space and repetition, or say what is wrong with them.

    Raises:
        DataError: If they are no list of texts, or all are empty.
    """
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise DataError(f"{where} must be a list of texts")
    found = list(dict.fromkeys(answer.strip() for answer in answers if answer.strip()))
    if not found:
        raise DataError(f"{where} holds no answer")
    return found
