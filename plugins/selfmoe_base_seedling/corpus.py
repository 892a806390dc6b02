"""The training text of the seedling: documents made on the fly from families of problems.

The families are those of the four mini domains, and some about biomedical facts. Only problems of
split "corpus" appear, so no seed, dev or test input of a mini track is seen. A document is about
one domain and keeps one answer style throughout. An instruction only hints at that style; the
examples before it settle it. Alone, under a bare instruction, short answers are the habit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from selfmoe.contracts import rng_for
from selfmoe.kits.domains import STYLES, Family, Problem, Style, gold_response, sample, wording
from selfmoe_base_seedling import biomed
from selfmoe_base_seedling.layouts import ALPACA, CLOSINGS, LAYOUTS, OPENINGS, SPEAKERS
from selfmoe_domain_coding import mini as coding
from selfmoe_domain_knowledge import mini as knowledge
from selfmoe_domain_math import mini as math
from selfmoe_domain_reasoning import mini as reasoning

END = "<|endoftext|>"

#: How much of the corpus each kind of document makes up, by number of documents.
KINDS = {"examples": 0.68, "tasks": 0.12, "alpaca": 0.08, "prose": 0.08, "dialogue": 0.04}
#: How much of it each domain makes up; what takes steps takes longest to learn.
SHARES = {"knowledge": 0.15, "biomed": 0.05, "reasoning": 0.38, "math": 0.26, "coding": 0.16}
#: How often a wording goes with the document's style; otherwise it goes with another one.
WORDING_AGREES = 0.5
#: How many documents of examples keep to one family.
ONE_FAMILY = 0.2

#: By a domain's own style, how often each style (in the order of `STYLES`) is used ...
AMONG_EXAMPLES: Mapping[Style, tuple[float, ...]] = {
    "bare": (2.0, 1.0, 1.0, 1.0),
    "worked": (1.0, 2.5, 1.25, 0.75),
    "code": (1.0, 1.0, 1.0, 2.0),
}
#: ... and how often in an example that stands alone.
ALONE: Mapping[Style, tuple[float, ...]] = {
    "bare": (2.0, 1.0, 1.0, 1.0),
    "worked": (2.5, 2.0, 0.75, 0.75),
    "code": (1.0, 1.0, 1.0, 2.0),
}


class Track(NamedTuple):
    """What a domain gives to the corpus."""

    families: tuple[Family, ...]
    style: Style


TRACKS: Mapping[str, Track] = {
    "knowledge": Track(knowledge.FAMILIES, knowledge.STYLE),
    "biomed": Track(biomed.FAMILIES, "bare"),
    "reasoning": Track(reasoning.FAMILIES, reasoning.STYLE),
    "math": Track(math.FAMILIES, math.STYLE),
    "coding": Track(coding.FAMILIES, coding.STYLE),
}


def document(seed: int, *index: int) -> str:
    """Return the document at `index` (any integers), without the end mark.

    It depends on the arguments and on the families alone.
    """
    rng = rng_for("seedling", seed, *index)
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    track = TRACKS[rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]]
    return _MAKERS[kind](track, rng)


def _problem(track: Track, rng: random.Random) -> Problem:
    return sample(rng.choice(track.families), "corpus", rng)


def _style(habit: Mapping[Style, tuple[float, ...]], track: Track, rng: random.Random) -> Style:
    return rng.choices(STYLES, habit[track.style])[0]


def _wording(style: Style, rng: random.Random) -> str:
    return wording(style, rng.random() < WORDING_AGREES, rng)


def _fill(layout: str, track: Track, style: Style, rng: random.Random) -> str:
    problem = _problem(track, rng)
    return layout.format(
        instruction=_wording(style, rng),
        input=problem.input,
        response=gold_response(problem, style),
    )


def _alpaca(track: Track, rng: random.Random) -> str:
    return _fill(ALPACA, track, _style(ALONE, track, rng), rng)


def _examples(track: Track, rng: random.Random) -> str:
    style = _style(AMONG_EXAMPLES, track, rng)
    layout = rng.choices(tuple(LAYOUTS), tuple(LAYOUTS.values()))[0]
    if rng.random() < ONE_FAMILY:
        track = track._replace(families=(rng.choice(track.families),))
    return "\n\n".join(_fill(layout, track, style, rng) for _ in range(rng.randint(2, 8)))


def _tasks(track: Track, rng: random.Random) -> str:
    style = _style(AMONG_EXAMPLES, track, rng)
    parts = ["Here is a list of tasks."]
    for number in range(1, rng.randint(4, 9)):
        problem = _problem(track, rng)
        instruction = _wording(style, rng)
        parts.append(f"{number}. Instruction: {instruction}\nInput: {problem.input}")
    return "\n\n".join(parts)


def _prose(_: Track, rng: random.Random) -> str:
    track = TRACKS["biomed" if rng.random() < 0.3 else "knowledge"]
    return " ".join(_problem(track, rng).steps for _ in range(rng.randint(3, 10)))


def _dialogue(track: Track, rng: random.Random) -> str:
    one, two = rng.sample(SPEAKERS, 2)
    style = _style(ALONE, track, rng)
    turns = []
    for _ in range(rng.randint(1, 3)):
        problem = _problem(track, rng)
        turns.append(f"{one}: {rng.choice(OPENINGS)} {problem.input}")
        turns.append(f"{two}: {gold_response(problem, style)}")
    return "\n".join([*turns, f"{one}: {rng.choice(CLOSINGS)}"])


_MAKERS: Mapping[str, Callable[[Track, random.Random], str]] = {
    "examples": _examples,
    "tasks": _tasks,
    "alpaca": _alpaca,
    "prose": _prose,
    "dialogue": _dialogue,
}
