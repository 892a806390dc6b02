"""Exporting a system: written, read again and compared, described, and only then there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from selfmoe.contracts.errors import unknown_name
from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import write_plain
from selfmoe.mixture.runtime import attach_expert
from selfmoe.outward.export.adapter import Adapter
from selfmoe.outward.export.card import Facts, write_card
from selfmoe.outward.export.check import PROMPTS, answers, check, difference
from selfmoe.outward.export.folder import fill
from selfmoe.outward.export.formats import WRITERS, Wishes, Written
from selfmoe.outward.export.source import Source


def export_system(
    source: Source, out: Path, form: str, facts: Facts, wishes: Wishes, *, checked: bool = True
) -> Path:
    """Write a system to a folder of its own; it is taken off its base for it.

    Args:
        source: The system.
        out: The folder; is not there, or empty.
        form: Name of the format.
        facts: What the card tells.
        wishes: What is asked for.
        checked: Load what was written, and compare its logits with the system's.

    Returns:
        ``out``.

    Raises:
        UnknownNameError: If there is no such format.
        NotSupportedError: If the system cannot be exported in it.
        RunError: If the folder is not empty or cannot be written, or the check finds a difference.
    """
    if form not in WRITERS:
        raise unknown_name("format", form, WRITERS)

    def write(folder: Path) -> None:
        expected = answers(source.model, source.base.tokenizer) if checked else None
        written = WRITERS[form](source, folder, wishes)
        apart = None if expected is None else _compared(source, written, expected)
        write_card(facts, folder, out=out, form=form, adapter=written.adapter, apart=apart)

    return fill(out, write)


def _compared(source: Source, written: Written, expected: Sequence[Tensor]) -> float:
    """Return how far what was written is from the system, once it is what it should be.

    An adapter that leaves something out is held against what is left.
    """
    system, adapter = expected, written.adapter
    if adapter is not None and not adapter.whole:
        expected = _by_itself(source, adapter)
    dtype = next(source.model.parameters()).dtype
    found = answers(written.read(), source.base.tokenizer)
    check(found, expected, dtype)
    return difference(found[: len(PROMPTS)], system[: len(PROMPTS)])


def _by_itself(source: Source, adapter: Adapter) -> Sequence[Tensor]:
    """Return the answers of the base with an adapter."""
    with tempfile.TemporaryDirectory(prefix="selfmoe-") as room:
        write_plain(Path(room), adapter.factors, None)
        with attach_expert(source.model, Expert("adapter", Path(room))):
            return answers(source.model, source.base.tokenizer)
