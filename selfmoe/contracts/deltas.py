"""How a static composition keeps its weight deltas: whole, or as a low-rank product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from selfmoe.contracts.records import Composition

if TYPE_CHECKING:
    from torch import Tensor


class _LowRank(Mapping[str, "Tensor"]):
    """Deltas ``b @ a`` that are multiplied out when asked for, one at a time."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._sites = [name.removesuffix("/a") for name in tensors if name.endswith("/a")]

    def __getitem__(self, site: str) -> Tensor:
        return self._tensors[f"{site}/b"] @ self._tensors[f"{site}/a"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)


def read_deltas(composition: Composition) -> Mapping[str, Tensor]:
    """Return ``site -> delta``, shape ``(out, in)``, of what ``merge_deltas`` stored."""
    if any(name.endswith("/a") for name in composition.tensors):
        return _LowRank(composition.tensors)
    return composition.tensors
