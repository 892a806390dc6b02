"""The training text of the seedling: documents made on the fly from the mini domains' families.

Only problems of split "corpus" appear, so no seed, dev or test input of a mini track is seen.
A document is about one domain and keeps one answer style throughout. An instruction only hints at
that style; the examples before it settle it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from selfmoe.procedural import STYLES, Family, Problem, Style, render, sample, wording
from selfmoe.randomness import rng_for
from selfmoe_domain_coding import mini as coding
from selfmoe_domain_knowledge import mini as knowledge
from selfmoe_domain_math import mini as math
from selfmoe_domain_reasoning import mini as reasoning

END = "<|endoftext|>"
ALPACA = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n{response}"
)

#: How much of the corpus each kind of document makes up, by number of documents.
KINDS = {"examples": 0.66, "tasks": 0.12, "alpaca": 0.18, "prose": 0.04}
#: How much of it each domain makes up; reasoning is the hardest to learn.
SHARES = {"knowledge": 0.18, "reasoning": 0.46, "math": 0.22, "coding": 0.14}
#: How often a wording goes with the document's style; otherwise it goes with another one.
WORDING_AGREES = 0.6
#: Weight of the domain's own style against 1 for each of the other three.
OWN_STYLE = 2.5


class Track(NamedTuple):
    """What a domain gives to the corpus."""

    families: tuple[Family, ...]
    style: Style


TRACKS: Mapping[str, Track] = {
    "knowledge": Track(knowledge.FAMILIES, knowledge.STYLE),
    "reasoning": Track(reasoning.FAMILIES, reasoning.STYLE),
    "math": Track(math.FAMILIES, math.STYLE),
    "coding": Track(coding.FAMILIES, coding.STYLE),
}

_LAYOUTS = (
    "Instruction: {instruction}\nInput: {input}\nResponse: {response}",
    "Q: {input}\nA: {response}",
    "Task: {instruction} {input}\nAnswer: {response}",
    "User: {instruction} {input}\nAssistant: {response}",
    "* {input}\n  {instruction}\n> {response}",
)
_LAYOUT_WEIGHTS = (0.4, 0.15, 0.15, 0.15, 0.15)
_RESPONSE = re.compile(
    r"\n(?:Response:|A:|Answer:|Assistant:|>|### Response:\n)(.+?(?:\n\n|\Z))", re.DOTALL
)


def document(seed: int, *index: int) -> str:
    """Return the document at `index` (any integers), without the end mark.

    It depends on the arguments and on the families alone.
    """
    rng = rng_for("seedling", seed, *index)
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    track = TRACKS[rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]]
    return _MAKERS[kind](track, rng)


def responses(text: str) -> list[tuple[int, int]]:
    """Return where the responses lie in a document, as (start, end) with what ends each one."""
    return [match.span(1) for match in _RESPONSE.finditer(text)]


def _problem(track: Track, rng: random.Random) -> Problem:
    return sample(rng.choice(track.families), "corpus", rng)


def _style(track: Track, rng: random.Random) -> Style:
    return rng.choices(STYLES, [OWN_STYLE if s == track.style else 1.0 for s in STYLES])[0]


def _wording(style: Style, rng: random.Random) -> str:
    return wording(style, rng.random() < WORDING_AGREES, rng)


def _fill(layout: str, track: Track, style: Style, rng: random.Random) -> str:
    problem = _problem(track, rng)
    return layout.format(
        instruction=_wording(style, rng), input=problem.input, response=render(problem, style)
    )


def _alpaca(track: Track, rng: random.Random) -> str:
    return _fill(ALPACA, track, _style(track, rng), rng)


def _examples(track: Track, rng: random.Random) -> str:
    style = _style(track, rng)
    layout = rng.choices(_LAYOUTS, _LAYOUT_WEIGHTS)[0]
    return "\n\n".join(_fill(layout, track, style, rng) for _ in range(rng.randint(2, 8)))


def _tasks(track: Track, rng: random.Random) -> str:
    style = _style(track, rng)
    parts = ["Here is a list of tasks."]
    for number in range(1, rng.randint(4, 9)):
        problem = _problem(track, rng)
        instruction = _wording(style, rng)
        parts.append(f"{number}. Instruction: {instruction}\nInput: {problem.input}")
    return "\n\n".join(parts)


def _prose(track: Track, rng: random.Random) -> str:
    return " ".join(_problem(TRACKS["knowledge"], rng).steps for _ in range(rng.randint(3, 10)))


_MAKERS: Mapping[str, Callable[[Track, random.Random], str]] = {
    "examples": _examples,
    "tasks": _tasks,
    "alpaca": _alpaca,
    "prose": _prose,
}
