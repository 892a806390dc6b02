"""What a file or folder of weights really is, told by its first bytes, its keys and its names.

Bases and adapters come in many forms, and under names of others: a placeholder where a large file
should be, an error page that was downloaded, half a file, another program's format.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from selfmoe.models.known_formats import (
    AGAIN,
    ARCHIVE,
    CUT_ZIP,
    EMPTY,
    FOLDERS,
    GGUF,
    GGUF_LORA,
    KEYS,
    MAGIC,
    NUMPY,
    ONNX,
    PAGE,
    PICKLE,
    PLACEHOLDERS,
    TFLITE,
    Format,
)

_HEAD = 4096
_LONGEST_HEADER = 100 << 20
"""As safetensors itself has it."""


class NotSafetensorsError(ValueError):
    """A file is no whole safetensors file; says why."""


def read_header(path: Path) -> Mapping[str, Any]:
    """Return the header of a safetensors file: ``name -> dtype, shape, data_offsets``.

    Raises:
        NotSafetensorsError: If it has none, or the file is shorter than it says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= _LONGEST_HEADER:
            raise NotSafetensorsError("it has no header of safetensors")
        text = file.read(length)
    if len(text) < length and text.startswith(b"{"):
        raise NotSafetensorsError("it ends within its header")
    try:
        header = json.loads(text)
        end = max((tensor["data_offsets"][1] for tensor in _tensors(header).values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise NotSafetensorsError("it has no header of safetensors") from None
    if size < 8 + length + end:
        raise NotSafetensorsError(f"it has {size} bytes of {8 + length + end}")
    return _tensors(header)


def _tensors(header: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: tensor for name, tensor in header.items() if name != "__metadata__"}


def of_file(path: Path) -> Format | None:
    """Return what a file is, if it is something known that selfmoe does not read as it is.

    ``None`` for whole safetensors files of language models and their adapters, and for what is not
    known.
    """
    head = _first(path)
    if not head:
        return EMPTY
    if head[8:9] == b"{":  # its length, before that, may look like anything
        return _as_safetensors(path, "damaged, only the beginning of a safetensors file")
    known = next((found for magic, found in MAGIC if head.startswith(magic)), None)
    known = known or _by_content(path, head)
    if known is None and path.suffix == ".safetensors":
        return _as_safetensors(path, "damaged, or no safetensors file")
    return known


def of_folder(path: Path) -> Format | None:
    """Return what a folder is, if its files tell that another program wrote it."""
    names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    return next((found for pattern, found in FOLDERS if _any(pattern, names)), None)


def recognise(path: Path) -> Format | None:
    """Return what a path is; ``None`` where there is nothing, or nothing that is known."""
    return of_folder(path) if path.is_dir() else of_file(path) if path.is_file() else None


def placeholder(path: Path) -> Format | None:
    """Return what a file of text is that should hold JSON or a vocabulary, but does not."""
    head = _first(path)
    known = next((found for magic, found in PLACEHOLDERS if head.startswith(magic)), None)
    return known or _page(head)


def of_keys(names: Iterable[str]) -> Format | None:
    """Return whose tensors these are, if not those of a language model or its PEFT adapter."""
    known = list(names)
    return next((found for pattern, found in KEYS if _any(pattern, known)), None)


def _first(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b"?"


def _by_content(path: Path, head: bytes) -> Format | None:
    if head.startswith((b"GGUF", b"ggjt", b"tjgg", b"lmgg")):
        return GGUF_LORA if b"adapter" in head else GGUF
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if re.match(rb"\x80[\x02-\x05]", head):
        return PICKLE
    if head[4:8] == b"TFL3":
        return TFLITE
    if head[257:262] == b"ustar":
        return ARCHIVE
    if path.suffix == ".onnx" or re.match(rb"\x08[\x01-\x20][\x12\x3a]", head):
        return ONNX
    return _page(head)


def _page(head: bytes) -> Format | None:
    """Return what a text is that stands where no text should."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return PAGE
    if re.match(rb'\{\s*"(error|message|detail)"', text):
        said = " ".join(head[:80].decode("utf-8", "replace").split())
        return Format(f"an answer of a server ({said})", AGAIN)
    if text.startswith((b"invalid username", b"entry not found", b"access to model", b"not found")):
        return Format(f"an answer of a server ({head[:60].decode('utf-8', 'replace')})", AGAIN)
    return None


def _zipped(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return CUT_ZIP
    if any(name.endswith("data.pkl") for name in names):
        return PICKLE
    if any(name.endswith(".npy") for name in names):
        return NUMPY
    return ARCHIVE


def _as_safetensors(path: Path, otherwise: str) -> Format | None:
    """Return whose tensors a file holds, or what it is if it is not whole."""
    try:
        return of_keys(read_header(path))
    except NotSafetensorsError as error:
        return Format(f"{otherwise} ({error})", AGAIN)


def _any(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    return any(pattern.fullmatch(name) for name in names)
