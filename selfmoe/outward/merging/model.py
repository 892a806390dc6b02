"""What a merge of adapters is asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Format = Literal["hf", "peft"]
"""``hf``: a plain model of transformers; ``peft``: a PEFT LoRA for the base."""

RECORD = "selfmoe-merge.json"
"""What was merged how; beside the weights, read by nobody."""


@dataclass(frozen=True)
class Wanted:
    """What is to be merged, and how it is to be written.

    Attributes:
        adapters: LoRA folders by name.
        base: Base plugin, folder, GGUF file, or hub id.
        method: Name of a merge.
        out: The folder to write; must not exist.
        options: Options of the merge.
        format: What is written.
        rank: Of a PEFT LoRA; ``None`` for the sum of the adapters' ranks.
        dtype: Number format of a model's weights; ``auto`` for that of the base's files.
        seed: Decides what a merge draws.
    """

    adapters: Mapping[str, Path]
    base: str
    method: str
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    format: Format = "hf"
    rank: int | None = None
    dtype: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """An adapter that was merged.

    Attributes:
        path: Its folder.
        hash: 10 hex digits over what it adds.
        rank: Its largest rank.
    """

    path: str
    hash: str
    rank: int


@dataclass(frozen=True)
class Merged:
    """A merge that was written and read again.

    Attributes:
        path: The folder.
        format: What it holds.
        method: Name of the merge.
        options: All its options.
        adapters: What was merged, by name.
        seed: What decided what the merge draws.
        base: The base, as it was named.
        base_hash: 10 hex digits over the base's files.
        layers: How many linear layers are changed.
        dtype: Number format of the weights.
        rank: Of the LoRA; ``None`` for a model.
        discarded: Share of the squared norm of the delta that rank leaves out, 0 to 1.
        moved: How far rounding or rank moves logits, as a share of the largest one.
        off: How far the logits of what was read again are from what selfmoe computes; likewise.
        notes: What a user must know, in words.
    """

    path: Path
    format: Format
    method: str
    options: Mapping[str, Any]
    adapters: Mapping[str, Part]
    seed: int
    base: str
    base_hash: str
    layers: int
    dtype: str
    rank: int | None
    discarded: float
    moved: float
    off: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {**asdict(self), "path": str(self.path), "notes": list(self.notes)}
