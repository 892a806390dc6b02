"""Presets in which experts and one adapter meet on other terms than all domains at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]

ORDERS: Sequence[Sequence[str]] = (
    ("coding", "knowledge", "math", "reasoning"),
    ("reasoning", "math", "knowledge", "coding"),
    ("math", "coding", "reasoning", "knowledge"),
)
"""In which domains arrive: by name, from the last one to the first, and one in between."""

CUES: Mapping[str, Mapping[str, tuple[list[str], str]]] = {
    "topic": {
        "having": (["get", "give", "give-and-get", "together"], "^Today (?!.*dollars)"),
        "sharing": (["boxes", "split", "groups"], "^(There|Here)"),
        "paying": (["change", "savings", "cheaper"], "dollars"),
    },
    "thing": {
        domain: (["get", "give", "boxes", "split", "give-and-get", "groups"], rf"\b({things})\b")
        for domain, things in (
            ("having", "apples|books|cards"),
            ("sharing", "coins|eggs|pens"),
            ("paying", "shells|stamps"),
        )
    },
    "name": {
        domain: (["get", "give", "give-and-get", "together", "change"], f"^Today ({names}) ")
        for domain, names in (
            ("having", "Ann|Ben|Eva"),
            ("sharing", "Leo|Mia|Sam"),
            ("paying", "Tom|Zoe"),
        )
    },
}
"""What tells whose task a word problem is: the kind of problem; one word for what it is about; one
word for whom it is about first, while those of the other domains may follow."""

FORMS: Mapping[str, str] = {"having": "bare", "sharing": "worked", "paying": "marked"}
"""The form of answer that each of these domains prescribes, and no prompt states."""

MANY: Mapping[str, tuple[str, str]] = {
    "places": ("bare", "knowledge: capitals countries languages continents city-continent"),
    "elements": ("bare", "knowledge: symbols elements planets"),
    "animals": ("bare", "knowledge: animals outsiders young homes kin"),
    "words": ("bare", "knowledge: opposites work tools colours"),
    "things": ("worked", "math: get give give-and-get together"),
    "boxes": ("worked", "math: boxes split groups"),
    "money": ("worked", "math: change savings cheaper"),
    "measures": ("worked", "math: distance area clock half next"),
    "logic": ("worked", "reasoning: comparisons boolean lies"),
    "moves": ("worked", "reasoning: moves turns walk swaps"),
    "order": ("worked", "reasoning: days most tallest"),
    "rows": ("worked", "reasoning: place table tally counting"),
    "lists": ("code", "coding: reduce how-often take filter map filter-map"),
    "texts": ("code", "coding: string words chain"),
    "numbers": ("code", "coding: test arithmetic label"),
}
"""The mini domains split by kinds of problems: form of answer, and kinds."""

CROSSED: Mapping[str, tuple[str, str, list[str]]] = {
    "programs": ("code", "coding", ["crossed/fact-in-code"]),
    "facts": ("bare", "knowledge", []),
    "sums": ("worked", "math", ["crossed/facts-in-sums"]),
    "logic": ("worked", "reasoning", []),
}
"""The mini domains under other names: form of answer, track, and tasks that need facts besides."""


COMPARED: Settings = {
    "mixse": {"router": "topk"},
    "ridge": {"router": "ridge", "options": {"weight": "one"}},
    "sequence": {"router": "sequence", "options": {"fit": "ridge", "weight": "one"}},
    "oracle": {"router": "oracle"},
    "instance": {"merge": "instance"},
    "sequential": {"merge": "sequential"},
    "mean": {"merge": "mean"},
    "ties": {"merge": "ties"},
    "dare": {"merge": "dare"},
}
"""What a regime compares: mixtures, what the domain's label would give, and one set of weights."""


def arriving(full: Settings) -> Settings:
    """Return the settings of domains that come one by one, the data of the earlier ones gone.

    In each order: one LoRA trained on domain after domain, and two mixtures that take in expert
    after expert by statistics of its own data. Beside them what all data at once gives.

    Args:
        full: Settings to start from, but for what is composed.
    """
    systems: dict[str, Settings] = {"arrow": {"router": "arrow"}}
    systems |= {merge: {"merge": merge} for merge in ("instance", "mean", "ties", "dare")}
    for number, order in enumerate(map(list, ORDERS), start=1):
        arrives = {"experts": order, "extend": order[1:]}
        whole = {"fit": "ridge", "weight": "one"}
        systems |= {
            f"mixse-{number}": {"router": "sequence", "options": whole, **arrives},
            f"ridge-{number}": {"router": "ridge", "options": {"weight": "one"}, **arrives},
            f"sequential-{number}": {"merge": "sequential", "options": {"order": order}},
        }
    return {**full, "compose": systems}


def conflicting(full: Settings, cue: str) -> Settings:
    """Return the settings of domains that prescribe different forms for one kind of task.

    Args:
        full: Settings to start from, but for how data is made and what is composed.
        cue: Which of ``CUES`` tells the domains apart.
    """
    return _defined(
        full,
        {
            domain: {
                "families": [f"math/{family}" for family in families],
                "style": FORMS[domain],
                "cue": pattern,
            }
            for domain, (families, pattern) in CUES[cue].items()
        },
        brainstorm={**full["brainstorm"], "n": 480},  # tasks with another's cue are left out
    )


def many(full: Settings) -> Settings:
    """Return the settings of one expert for each group of families of the mini domains.

    Args:
        full: Settings to start from, but for how data is made and what is composed.
    """
    return _defined(
        full,
        {name: {"families": _kinds(kinds), "style": form} for name, (form, kinds) in MANY.items()},
        brainstorm={**full["brainstorm"], "n": 140},  # of fewer kinds each
        evaluate={**full["evaluate"], "limit": 60},
    )


def two_domains(full: Settings) -> Settings:
    """Return the settings of the mini domains, asked besides what needs two of them.

    Args:
        full: Settings to start from, but for how data is made and what is composed.
    """
    return _defined(
        full,
        {
            name: {"families": [track], "style": form, "crossed": asked}
            for name, (form, track, asked) in CROSSED.items()
        },
    )


def _kinds(text: str) -> list[str]:
    """Return "track: family family" as names of families."""
    track, families = text.split(": ")
    return [f"{track}/{family}" for family in families.split()]


def _defined(full: Settings, domains: Mapping[str, Settings], **changed: Settings) -> Settings:
    """Return the settings of domains that the run defines, each answered once, by three seeds."""
    return {
        **full,
        "seed": [0, 1, 2],
        "domains": list(domains),
        "define": {name: {"domain": "families", "options": o} for name, o in domains.items()},
        "respond": {**full["respond"], "samples": 0},
        "curate": {"verify": True},
        "evaluate": {**full["evaluate"], "limit": 150},
        "compose": COMPARED,
        **changed,
    }


def low_rank(full: Settings, rank: int) -> Settings:
    """Return the settings of adapters of a rank, with the scale of updates as it is otherwise.

    Args:
        full: Settings to start from.
        rank: Of experts and of what is trained beside them.
    """
    options = {"r": rank, "alpha": 2 * rank}
    changed = {"specialise": {"options": options}, "compose": COMPARED}
    return {**full, "seed": [0, 1, 2], **changed}
