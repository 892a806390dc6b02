"""Records in JSON files: typed, checked when they are read, and numbered by their format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from selfmoe.contracts.errors import RunError
from selfmoe.store.files import write_json


class StrictRecord(BaseModel):
    """Part of a file; nothing is converted, and nothing else may stand there.

    What was not given when it was made is not written.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        return self.model_dump(mode="json", exclude_unset=True)


class FileRecord(StrictRecord):
    """All that a file holds.

    Attributes:
        FORMAT: Version of the format that is written, and alone is read.
        format: Version of the format.
    """

    FORMAT: ClassVar[int] = 1

    format: int

    def write(self, path: Path) -> None:
        """Write the file, atomically.

        Raises:
            RunError: If it cannot be written.
        """
        write_json(path, self.to_json())


R = TypeVar("R", bound=FileRecord)


def read_record(cls: type[R], path: Path, again: str, newer: str = "make it again") -> R:
    """Return what a file holds.

    Args:
        cls: What it should hold.
        path: The file.
        again: The command that makes it again, for the error.
        newer: What to do about a file of a newer selfmoe, beside upgrading.

    Raises:
        RunError: If it cannot be read, is damaged, or is of another format.
    """
    try:
        return parse(cls, path, newer, again)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is damaged: {_reason(error)}\n  This makes it again: {again}"
        ) from None


def parse(cls: type[R], path: Path, newer: str, again: str) -> R:
    """Return what a file holds, for those that say themselves what is wrong with it.

    Args:
        cls: What it should hold.
        path: The file.
        newer: What to do about a file of a newer selfmoe, beside upgrading.
        again: The command that makes it again.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no JSON, or not what was written.
        KeyError: If it does not say its format.
        TypeError: If it is no object.
        RunError: If it is of another format.
    """
    values = json.loads(path.read_text("utf-8"))
    if not isinstance(values, dict):
        raise TypeError("expected an object with named fields")
    if (found := values["format"]) != cls.FORMAT:
        is_newer = isinstance(found, int) and found > cls.FORMAT
        hint = f"upgrade selfmoe, or {newer}" if is_newer else f"this makes it again: {again}"
        raise RunError(f"{path} has format {found}, this selfmoe reads {cls.FORMAT}; {hint}")
    return cls.model_validate(values)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, TypeError):
        return "it is not what was written"
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"it lacks '{where}'"
    return f"it is not what was written: {where}: {first['msg']}"
