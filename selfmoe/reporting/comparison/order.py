"""Whether a router earns its keep: controls below it, what is told the answer's domain above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def order(systems: Sequence[Json], paired: Json | None, alpha: float) -> list[dict[str, Any]]:
    """Return what a learned router must show, each with how it came out.

    Systems that decide without looking (``control``) should lie below the reference, and those
    that are given the label of the domain (``labelled``) above it.

    Args:
        systems: What the comparison knows of them.
        paired: Differences to the reference; see ``selfmoe.reporting.paired.compare``.
        alpha: Largest p that counts.

    Returns:
        One entry a pair: ``below``, ``above``, ``difference`` (above less below, -1..1), ``p``, and
        ``holds``: true, false (the other way round), or ``None`` where chance explains it.
    """
    if paired is None:
        return []
    found = []
    for name, sign in _pairs(systems, paired["reference"]):
        estimate = paired["systems"].get(name, {}).get("score")
        if estimate is None:
            continue
        pair = (name, paired["reference"]) if sign < 0 else (paired["reference"], name)
        difference, p = sign * estimate["difference"] + 0.0, estimate["p"]
        sure = p is not None and p < alpha
        holds = (difference > 0) if sure else None
        facts = {"difference": difference, "p": p, "holds": holds}
        found.append({"below": pair[0], "above": pair[1], **facts})
    return found


def _pairs(systems: Sequence[Json], reference: str) -> Iterator[tuple[str, int]]:
    """Yield what should differ from the reference, and in which direction."""
    for sign, key in ((-1, "control"), (1, "labelled")):
        for system in systems:
            if system[key] and system["name"] != reference:
                yield system["name"], sign


def sentence(pairs: Sequence[Json]) -> str:
    """Return whether the order holds, with the numbers it was decided by."""
    return " ".join(_said(pair) for pair in pairs)


def _said(pair: Json) -> str:
    points, p = 100 * pair["difference"], pair["p"]
    sure = "no spread" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    verdict = {True: "yes", False: "no", None: "not shown"}[pair["holds"]]
    return f"{pair['below']} < {pair['above']}: {verdict} ({points:+.1f} points, {sure})."
