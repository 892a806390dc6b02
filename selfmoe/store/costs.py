"""What finished cells took, by their seals: time, tokens, room on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.names import CellName
from selfmoe.store.cells import read_json
from selfmoe.store.directory import CELL_FOLDERS
from selfmoe.store.files import SEAL
from selfmoe.store.status import size_of


class Tokens(NamedTuple):
    """Tokens that a model computed, padding included; never negative.

    Attributes:
        read: In forwards of several tokens a row, without gradients.
        written: In forwards of one token a row, as texts are gone on with.
        learnt: In forwards with gradients; the backward pass is not counted again.
    """

    read: int = 0
    written: int = 0
    learnt: int = 0

    def since(self, before: Tokens) -> Tokens:
        """Return what was computed after an earlier count."""
        return Tokens(*(now - then for now, then in zip(self, before, strict=True)))


class Cost(NamedTuple):
    """What a cell took.

    Attributes:
        amount: What was to be done, in the stage's own unit: texts, items, examples.
        seconds: How long it took.
        tokens: What the base computed.
        bytes: Room on disk.
        place: Where it was computed: device, number format, threads.
    """

    amount: float
    seconds: float
    tokens: Tokens
    bytes: float
    place: str


def costs_of(root: Path) -> dict[CellName, list[Cost]]:
    """Return what the finished cells of a run took; one name may stand for several root seeds.

    Cells that were resumed are left out, and those of builds that did not count: their seals tell
    the time of the last process alone, or no more than that.
    """
    found: dict[CellName, list[Cost]] = {}
    for stage, folder in CELL_FOLDERS.items():
        for path in sorted((root / folder).glob(f"*@*/{SEAL}")):
            seal = _read(path)
            cost = seal.get("cost")
            if seal.get("stage") == stage and cost and cost["whole"]:
                name = CellName(stage, str(seal["label"]))
                found.setdefault(name, []).append(_cost(path.parent, seal, cost))
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        seal: dict[str, Any] = read_json(path)
    except DataError:  # a damaged one is made again; here it tells nothing
        return {}
    return seal


def _cost(folder: Path, seal: Mapping[str, Any], cost: Mapping[str, Any]) -> Cost:
    return Cost(
        float(cost["amount"]),
        float(seal["seconds"]),
        Tokens(**cost["tokens"]),
        float(size_of(folder)),
        cost["place"],
    )
