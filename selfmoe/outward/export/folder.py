"""The folder that an export fills: new, and whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from selfmoe.contracts.errors import RunError
from selfmoe.store.files import cannot_write, place_folder

_AGAIN = "\n  Mend this and export again."


def check_new(out: Path) -> None:
    """Refuse a place that holds something.

    Raises:
        RunError: If there is a file, or a folder that is not empty.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        what = "is a file" if out.is_file() else "is not empty"
        raise RunError(f"{out} {what}\n  An export makes a folder of its own; name another one.")


def fill(out: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a folder under another name, and give it its own when that is done.

    Args:
        out: The folder; is not there, or empty.
        write: Told a folder that is there and empty.

    Returns:
        ``out``.

    Raises:
        RunError: If there is something, or it cannot be written.
    """
    check_new(out)

    def filled(folder: Path) -> None:
        write(folder)
        if out.is_dir():
            out.rmdir()

    try:
        place_folder(out, filled)
    except OSError as error:
        raise cannot_write(out, error, _AGAIN) from None
    return out
