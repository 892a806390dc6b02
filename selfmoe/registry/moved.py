"""Where plugins find now what they used to import from inside the engine."""

from __future__ import annotations

from collections.abc import Mapping

_CONTRACTS = "selfmoe.contracts"
_DOMAINS, _ROUTERS = "selfmoe.kits.domains", "selfmoe.kits.routers"
_MERGES, _TRAINERS = "selfmoe.kits.merges", "selfmoe.kits.trainers"

HOMES: Mapping[str, str] = {
    "selfmoe.components": f"{_CONTRACTS}, LearnedRouter and Softmax… from {_ROUTERS}",
    "selfmoe.errors": _CONTRACTS,
    "selfmoe.hookspecs": _CONTRACTS,
    "selfmoe.lines": _CONTRACTS,
    "selfmoe.paths": _CONTRACTS,
    "selfmoe.prompts": _CONTRACTS,
    "selfmoe.randomness": _CONTRACTS,
    "selfmoe.records": _CONTRACTS,
    "selfmoe.text": _CONTRACTS,
    "selfmoe.words": _CONTRACTS,
    "selfmoe.choice": _DOMAINS,
    "selfmoe.datafiles": _DOMAINS,
    "selfmoe.files": _DOMAINS,
    "selfmoe.mini": _DOMAINS,
    "selfmoe.procedural": _DOMAINS,
    "selfmoe.sandbox": _DOMAINS,
    "selfmoe.tables": _DOMAINS,
    "selfmoe.upstream": _DOMAINS,
    "selfmoe.fit": f"{_CONTRACTS}, collate and encode_all from {_ROUTERS}",
    "selfmoe.tokens": _ROUTERS,
    "selfmoe.mixture.extending": _ROUTERS,
    "selfmoe.mixture.gating": _ROUTERS,
    "selfmoe.mixture.labelled": _ROUTERS,
    "selfmoe.mixture.layers": _ROUTERS,
    "selfmoe.mixture.learning": _ROUTERS,
    "selfmoe.mixture.penalties": _ROUTERS,
    "selfmoe.mixture.softmax": _ROUTERS,
    "selfmoe.mixture.structure": f"{_ROUTERS}, linears from {_TRAINERS}",
    "selfmoe.mixture.deltas": _MERGES,
    "selfmoe.mixture.coverage": _TRAINERS,
    "selfmoe.mixture.tokenwise": _TRAINERS,
}
"""Module that is no more -> where plugins import what it held."""


def new_home(error: BaseException) -> str:
    """Return where to import what an import did not find; empty if that is not known."""
    if not isinstance(error, ImportError):
        return ""
    return HOMES.get(error.name or "", "")
