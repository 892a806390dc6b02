"""How the seedling's corpus sets problems and answers on the page, and how to find the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping

ALPACA = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n{response}"
)

#: Layouts of one example among others, with how often each is used.
LAYOUTS: Mapping[str, float] = {
    "Instruction: {instruction}\nInput: {input}\nResponse: {response}": 0.42,
    "Q: {input}\nA: {response}": 0.12,
    "Task: {instruction} {input}\nAnswer: {response}": 0.1,
    "User: {instruction} {input}\nAssistant: {response}": 0.1,
    "Problem: {input}\nSolution: {response}": 0.1,
    "Question: {input}\n{instruction}\nAnswer: {response}": 0.06,
    "* {input}\n  {instruction}\n> {response}": 0.05,
    "# {instruction}\n{input}\n= {response}": 0.05,
}

SPEAKERS = ("Ann", "Ben", "Eva", "Leo", "Mia", "Sam", "Tom", "Zoe")
OPENINGS = ("Listen:", "Tell me:", "Do you know this?", "Help me, please.", "Next one:")
CLOSINGS = ("Thank you!", "I see.", "That helps.", "Good to know.")

_RESPONSE = re.compile(
    r"\n(?:Response:|A:|Answer:|Assistant:|Solution:|>|=|### Response:\n)(.+?(?:\n\n|\Z))",
    re.DOTALL,
)


def responses(text: str) -> list[tuple[int, int]]:
    """Return where the responses lie in a document, as (start, end) with what ends each one.

    Dialogues have none: who speaks there is not marked.
    """
    return [match.span(1) for match in _RESPONSE.finditer(text)]
