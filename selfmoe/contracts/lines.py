"""Ends of lines: a text that enters the pipeline has plain ones, whatever wrote it.

Windows programs end lines with `\\r\\n`, within the fields of a table and of JSON, too; checks,
prompts and stop strings know `\\n` alone.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from selfmoe.contracts.records import Example, Seed

Record = TypeVar("Record", "Seed", "Example")


def plain_lines(text: str) -> str:
    """Return a text in which `\\n` alone ends lines, as it stands for `\\r\\n` and a lone `\\r`."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def plain_record(record: Record) -> Record:
    """Return a seed or an example whose texts have plain ends of lines."""
    texts = {field.name: getattr(record, field.name) for field in fields(record)}
    plain: dict[str, Any] = {
        key: plain_lines(text) for key, text in texts.items() if isinstance(text, str)
    }
    return replace(record, **plain)
