"""Writing files so that a kill at any moment leaves the old state or the new one, never half."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from selfmoe.errors import DataError, RunError

SEAL = "cell.json"
"""Name of the file that makes a folder valid: written last, with size and sha256 of all others."""


def write_atomic(path: Path, text: str) -> None:
    """Write a file under a temporary name, flush it to disk, then rename it into place.

    Raises:
        RunError: If that is not possible, for instance because the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    _sync(path.parent)


def cannot_write(path: Path, error: OSError) -> RunError:
    """Return the error for a file or folder that cannot be written, as on a full disk."""
    return RunError(
        f"cannot write {path}: {error.strerror or error}\n"
        "  What was finished before is kept: mend this and run the same command again."
    )


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file, gzipped if so named; blank lines are allowed.

    Raises:
        DataError: If the file cannot be read or a line is no JSON object; names file and line.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            lines = file.read().split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not valid JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected a JSON object with named fields")
            rows.append(row)
    return rows


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


@cache
def _sha256_at(path: Path, size: int, mtime_ns: int) -> str:
    return sha256(path)


def commit_folder(
    target: Path, write: Callable[[Path], None], facts: Mapping[str, Any] | None = None
) -> None:
    """Let ``write`` fill a temporary folder, seal it, and rename it to ``target``.

    Args:
        target: Must not exist as an intact folder; what is left of a damaged one is replaced.
        write: Writes the files.
        facts: Further entries for the seal.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        write(temporary)
        seal(temporary, facts)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)
    _sync(target.parent)


def seal(folder: Path, facts: Mapping[str, Any] | None = None) -> None:
    """Flush all files of a folder and write its seal, which makes it valid."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            name = path.relative_to(folder).as_posix()
            files[name] = {"size": path.stat().st_size, "sha256": sha256(path)}
    write_json(folder / SEAL, {**(facts or {}), "files": files})


def is_intact(folder: Path) -> bool:
    """Return whether a folder is sealed and every file is what the seal says."""
    return damage(folder) is None


def damage(folder: Path, *, hashes: bool = True) -> str | None:
    """Return what is wrong with a sealed folder, or ``None`` if it is intact.

    Args:
        folder: The folder.
        hashes: Also read all files; without, only names and sizes are compared.
    """
    try:
        files = json.loads((folder / SEAL).read_text("utf-8"))["files"]
        listed = {name: (facts["size"], facts["sha256"]) for name, facts in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{folder / SEAL} is missing or unreadable"
    for name, (size, digest) in listed.items():
        path = folder / name
        try:
            stat = path.stat()
        except OSError:
            return f"{path} is missing"
        if stat.st_size != size:
            return f"{path} has {stat.st_size} bytes instead of {size}"
        if hashes and _sha256_at(path, stat.st_size, stat.st_mtime_ns) != digest:
            return f"{path} is not what was written: its sha256 differs"
    return None


def _sync(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
