"""Settings of a run with one expert more, or one less."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

from selfmoe.contracts.errors import ConfigError, unknown_name
from selfmoe.contracts.names import BenchmarkName

RawSettings = dict[str, Any]

Join = Literal["refit", "extend"]
"""How an expert joins: compositions are made anew, or take it in and keep what they have learnt."""


def experts_of(raw: RawSettings) -> list[str]:
    """Return the names of the experts that complete settings have, in order."""
    return list(dict.fromkeys([*raw["domains"], *(raw.get("adapters") or {})]))


def routed_labels(raw: RawSettings, systems: Sequence[str] | None) -> list[str]:
    """Return the labels of the compositions that an expert joins.

    Args:
        raw: Complete settings.
        systems: Labels that were asked for; ``None``: all that route.

    Raises:
        UnknownNameError: If there is no such composition.
        ConfigError: If none is asked for and none routes.
    """
    compose = raw["compose"]
    for label in systems or ():
        if label not in compose:
            raise unknown_name("composition", label, compose)
    labels = list(systems or (k for k, entry in compose.items() if entry.get("router")))
    if not labels:
        raise ConfigError(
            "the run has no routed system that an expert could join\n  Name compositions to make "
            f"anew with --systems: {', '.join(compose) or 'there are none'}."
        )
    return labels


def grown(raw: RawSettings, name: str, labels: Sequence[str], join: Join) -> RawSettings:
    """Return complete settings in which an expert has joined the compositions in ``labels``."""
    new = copy.deepcopy(raw)
    former = [expert for expert in experts_of(raw) if expert != name]
    for label, entry in new["compose"].items():
        entry["experts"] = entry.get("experts") or former
        if label in labels:
            entry["experts"] = [*entry["experts"], name]
            entry["extend"] = [*entry.get("extend", []), *([name] if join == "extend" else [])]
    return _tidied(new)


def shrunk(raw: RawSettings, name: str) -> RawSettings:
    """Return complete settings without an expert: the inverse of ``grown``.

    Raises:
        ConfigError: If it is the only expert of a composition.
    """
    new = copy.deepcopy(raw)
    new["domains"] = [domain for domain in new["domains"] if domain != name]
    for key in ("define", "adapters"):
        new[key] = {k: value for k, value in (new.get(key) or {}).items() if k != name}
    evaluate = new.get("evaluate") or {}
    if named := evaluate.get("benchmarks"):
        kept = [identity for identity in named if not is_of(identity, name)]
        evaluate["benchmarks"] = kept or None
    documents = (new.get("respond") or {}).get("documents")
    if isinstance(documents, dict):
        documents.pop(name, None)
    verified = (new.get("curate") or {}).get("verify")
    if isinstance(verified, list):
        new["curate"]["verify"] = [domain for domain in verified if domain != name]
    (new.get("specialise") or {}).get("experts", {}).pop(name, None)
    return _leave(new, name, list(new["compose"]))


def without(raw: RawSettings, name: str, labels: Sequence[str]) -> RawSettings:
    """Return settings with an expert that no composition has, and these compositions only.

    Raises:
        ConfigError: If it is the only expert of a composition.
    """
    new = copy.deepcopy(raw)
    new["compose"] = {label: new["compose"][label] for label in labels}
    return _leave(new, name, labels)


def is_of(identity: str, domain: str) -> bool:
    """Return whether settings name a benchmark of a domain; what is no name is refused later."""
    try:
        return BenchmarkName.parse(identity).domain == domain
    except ValueError:
        return False


def _leave(new: RawSettings, name: str, labels: Sequence[str]) -> RawSettings:
    everyone = [*experts_of(new), name]
    for label in labels:
        entry = new["compose"][label]
        chosen = entry.get("experts") or everyone
        entry["experts"] = [expert for expert in chosen if expert != name]
        entry["extend"] = [expert for expert in entry.get("extend", []) if expert != name]
        if not entry["experts"]:
            raise ConfigError(
                f"'{name}' is the only expert of '{label}'\n  Take that system out of the run's "
                f"settings first, or give it another expert."
            )
    return _tidied(new)


def _tidied(new: RawSettings) -> RawSettings:
    """Return settings in which compositions of all experts say so by naming none."""
    everyone = experts_of(new)
    for entry in new["compose"].values():
        if entry.get("experts") == everyone:
            entry["experts"] = None
    return new
