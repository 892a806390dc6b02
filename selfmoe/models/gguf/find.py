"""Which GGUF file a base is, if it is one."""

from __future__ import annotations

from pathlib import Path

from selfmoe.contracts.errors import DataError, did_you_mean
from selfmoe.models.checkpoints import INDEX, WEIGHTS
from selfmoe.models.gguf.header import is_gguf


def gguf_of(name: str, path: Path) -> Path | None:
    """Return the GGUF file that a path means: itself, or the one in a folder without safetensors.

    Args:
        name: The base as the user named it, for the error.
        path: A file or folder.

    Raises:
        DataError: If a folder holds several.
    """
    if path.is_file():
        return path if is_gguf(path) else None
    if (path / WEIGHTS).exists() or (path / INDEX).exists():
        return None
    found = [file.name for file in _files(path)]
    if len(found) > 1:
        raise DataError(
            f"base '{name}' holds {len(found)} files in GGUF\n"
            f"  Name one of them, as in '{name}:{found[0]}': {', '.join(found)}."
        )
    return path / found[0] if found else None


def gguf_in(folder: Path, file: str) -> Path:
    """Return a file that is named in a folder, as ``folder:file.gguf`` does.

    Raises:
        DataError: If it is not there; names what is.
    """
    if (folder / file).is_file():
        return folder / file
    names = [found.name for found in _files(folder)]
    there = f"There is: {', '.join(names)}." if names else "There is no file in GGUF."
    raise DataError(f"{folder} has no file '{file}'{did_you_mean(file, names)}\n  {there}")


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("*.gguf")) if is_gguf(file)]
