"""Many experts, few of them in memory: factors stay in their files until a token uses them.

Every block has a few slots. Where the gate picks an expert that is in none, it takes the place of
the one that was not used for longest; its factors are copied from its file, which is mapped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from selfmoe.contracts.errors import CompositionError, counted
from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import Factors, factors_of

Shape = tuple[int, int, int]
"""Rank, features in and features out."""


class Slotted(Protocol):
    """A routed layer whose experts can be exchanged."""

    name: str

    def put(self, slot: int, factors: Factors | None) -> None:
        """Let what a slot adds be that of these factors; ``None``: nothing."""


class Files:
    """The adapters of all experts on disk, each read when it is first needed.

    Args:
        experts: Their folders by name, in gate order.
        live: How many are in use at once.

    Attributes:
        names: The experts, in gate order.
        live: The same.
        shapes: Of every layer that any expert changes, with the largest rank.

    Raises:
        CompositionError: If one cannot be read, or they were made for layers of different widths.
    """

    def __init__(self, experts: Mapping[str, Path], live: int) -> None:
        self.names, self.live = tuple(experts), live
        self._paths = tuple(experts.values())
        self._mapped: dict[int, Mapping[str, Factors]] = {}
        self.shapes: dict[str, Shape] = {}
        for expert in range(len(self.names)):
            for site, part in self.factors(expert).items():
                self._note(expert, site, (part.rank, part.a.shape[1], part.b.shape[0]))

    def _note(self, expert: int, site: str, shape: Shape) -> None:
        rank, *widths = self.shapes.get(site, shape)
        if widths != list(shape[1:]):
            raise CompositionError(
                f"expert '{self.names[expert]}' changes a layer {site} of widths {shape[1:]}; "
                f"others one of {tuple(widths)}"
            )
        self.shapes[site] = (max(rank, shape[0]), shape[1], shape[2])

    def factors(self, expert: int) -> Mapping[str, Factors]:
        """Return what an expert adds to each layer; its file is mapped into memory, not read."""
        found = self._mapped.pop(expert, None)
        if found is None:
            found = factors_of(Expert(self.names[expert], self._paths[expert]))
        self._mapped[expert] = found
        if len(self._mapped) > self.live:
            del self._mapped[next(iter(self._mapped))]
        return found

    def blank(self) -> Mapping[str, Factors]:
        """Return an expert that adds nothing to any layer, of the largest ranks."""
        return {
            site: Factors(torch.zeros(rank, wide), torch.zeros(out, rank), 1.0)
            for site, (rank, wide, out) in sorted(self.shapes.items())
        }

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_mapped": {}}


class Shelf:
    """The slots of one block.

    Args:
        files: Where factors come from.
        layers: What is added to the linears of the block.

    Attributes:
        live: How many slots there are.
        lock: Held while the block runs, so that threads do not exchange each other's experts.
    """

    def __init__(self, files: Files, layers: Sequence[Slotted]) -> None:
        self._files, self._layers, self.live = files, layers, files.live
        self.lock = threading.RLock()
        self._slots: dict[int, int] = {}
        for expert in range(files.live):
            self._put(expert, expert)
        self._note()

    def take(self, alpha: Tensor) -> Tensor:
        """Return the weights of the experts in the slots, once all that are used are in one.

        Args:
            alpha: Of all experts, shape ``(batch, time, n_experts)``.

        Returns:
            Shape ``(batch, time, live)``.

        Raises:
            CompositionError: If more are used than there are slots.
        """
        most = alpha.detach().reshape(-1, alpha.shape[-1]).amax(0)  # faster than any()
        used = most.nonzero().flatten().tolist()
        if len(used) > self.live:
            raise CompositionError(
                f"a block uses {counted(len(used), 'expert')} at once and live is "
                f"{self.live}; raise live, read fewer tokens at once, or take a router "
                "that decides by sequence"
            )
        missing = [expert for expert in used if expert not in self._slots]
        for expert in used:
            if expert in self._slots:
                self._slots[expert] = self._slots.pop(expert)
        for expert in missing:
            oldest = next(iter(self._slots))
            self._put(expert, self._slots.pop(oldest))
        if missing:
            self._note()
        return alpha.index_select(-1, self._ids.to(alpha.device))

    def _put(self, expert: int, slot: int) -> None:
        factors = self._files.factors(expert)
        for layer in self._layers:
            layer.put(slot, factors.get(layer.name))
        self._slots[expert] = slot

    def _note(self) -> None:
        """Write down whose weights the slots want."""
        order = sorted(self._slots, key=self._slots.__getitem__)
        with torch.inference_mode(False):
            self._ids = torch.tensor(order)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=threading.RLock())
