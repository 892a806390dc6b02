"""Writing files so that a kill at any moment leaves the old state or the new one, never half."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError, RunError
from selfmoe.contracts.lines import plain_lines

SEAL = "cell.json"
"""Name of the file that makes a folder valid: written last, with size and sha256 of all others."""


KEPT = "\n  What was finished before is kept: mend this and run the same command again."
"""What to do when something cannot be written."""


def write_atomic(path: Path, text: str, *, hint: str = KEPT) -> None:
    """Write a file under a temporary name, flush it to disk, then rename it into place.

    Args:
        path: The file.
        text: What it is to hold.
        hint: What to do when that is not possible; end of the message.

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
        raise cannot_write(path, error, hint) from None
    _sync(path.parent)


def cannot_write(path: Path, error: OSError, hint: str = KEPT) -> RunError:
    """Return the error for a file or folder that cannot be written, as on a full disk."""
    return RunError(f"cannot write {path}: {error.strerror or error}{hint}")


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
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: not valid JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, line {number}: expected a JSON object with named fields")
            if "\\u" in line:
                check_text(row, f"{path}, line {number}")
            rows.append(row)
    return rows


def read_text(path: Path) -> str:
    """Return the text of a file, gzipped if so named, without the mark some editors put in front.

    Every end of a line is a plain one.

    Raises:
        DataError: If it cannot be read or is not UTF-8; names file and line.
    """
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content: bytes = file.read()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save it as UTF-8") from None
    return plain_lines(text)


def check_text(value: Any, where: str) -> None:
    """Refuse a value of JSON in which a text is no text: half a character, as ``\\ud800`` is.

    Raises:
        DataError: Saying where.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{where}: holds {half}, half of a character that has two halves\n"
            "  Remove it, or put the other half beside it."
        ) from None


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

    def sealed(folder: Path) -> None:
        write(folder)
        seal(folder, facts)
        if target.exists():
            shutil.rmtree(target)

    place_folder(target, sealed)


def place_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary folder, and rename it to ``target`` once it is whole.

    Args:
        target: Must not exist by then.
        write: Writes the files; if it raises, nothing is left.

    Raises:
        RunError: If the target has come into being meanwhile.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        write(temporary)
        if target.exists():
            raise RunError(f"{target} has come into being meanwhile; it is left as it is")
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
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


def check_intact(folder: Path, again: str) -> None:
    """Refuse a cell that is not as it was sealed.

    Args:
        folder: The cell's.
        again: The command that makes it again.

    Raises:
        RunError: If it is damaged; says how.
    """
    problem = damage(folder)
    if problem:
        raise RunError(f"cell damaged: {problem}\n  This makes it again: {again}")


def damage(folder: Path, *, hashes: bool | tuple[str, ...] = True) -> str | None:
    """Return what is wrong with a sealed folder, or ``None`` if it is intact.

    Args:
        folder: The folder.
        hashes: Also read all files, or those whose names end like this; of others, only names and
            sizes are compared.
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
        read = hashes if isinstance(hashes, bool) else name.endswith(hashes)
        if read and _sha256_at(path, stat.st_size, stat.st_mtime_ns) != digest:
            return f"{path} is not what was written: its sha256 differs"
    return None


def _sync(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def hash_of(path: Path) -> str:
    """Return the sha256 of a file, in hex; it is not read again until it changes.

    Raises:
        DataError: If it cannot be read.
    """
    return _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)  # several stages read the same files
def _hash(path: Path, changed_ns: int) -> str:
    return sha256(path)
