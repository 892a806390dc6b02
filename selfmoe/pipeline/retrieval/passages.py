"""A folder of documents as passages: paragraphs of text and Markdown files and of JSON Lines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.records import PassageRef
from selfmoe.contracts.words import cut, terms
from selfmoe.kits.domains.datafiles import jsonl_rows
from selfmoe.store.files import read_text

SUFFIXES = (".txt", ".md", ".jsonl")

_BLANK = re.compile(r"\n\s*\n")
_HEADING = re.compile(r"^(#{1,6} .*)\n\s*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, on one line, and where it is from."""

    ref: PassageRef
    text: str


def documents(folder: Path) -> list[Path]:
    """Return the documents below a folder, in the order of their paths; hidden ones are left out.

    Raises:
        MissingDataError: If there is no such folder, or none in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MissingDataError(f"{folder} {what}; respond.documents must name a folder")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise MissingDataError(
            f"{folder}, named by respond.documents, holds no documents\n"
            f"  Expected: files that end in {', '.join(SUFFIXES)}, there or in folders below."
        )
    return found


def read_passages(folder: Path, words: int) -> list[Passage]:
    """Return the passages of all documents below a folder: paragraphs, long ones in pieces.

    A heading in Markdown belongs to the paragraph that follows it.

    Args:
        folder: Where the documents are.
        words: The longest passage.

    Raises:
        DataError: If there are no documents, one cannot be read, or none holds a word.
    """
    found = []
    for path in documents(folder):
        name = path.relative_to(folder).as_posix()
        pieces = (piece for text in _texts(path) for piece in _pieces(text, words))
        for number, piece in enumerate(pieces, start=1):
            digest = hashlib.sha256(piece.encode()).hexdigest()[:10]
            found.append(Passage(PassageRef(name, number, digest), piece))
    if not found:
        raise DataError(f"the documents in {folder}, named by respond.documents, hold no text")
    return found


def _texts(path: Path) -> list[str]:
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        texts = [plain_lines(row["text"]) for row in jsonl_rows(path, ("text",))]
    else:
        text = read_text(path)
        texts = [_HEADING.sub(r"\1\n", text) if suffix == ".md" else text]
    if any("\0" in text for text in texts):
        raise DataError(f"{path} is no text: it holds NUL characters; remove it or convert it")
    return texts


def _pieces(text: str, words: int) -> Iterator[str]:
    """Yield the paragraphs of a text, cut after every ``words`` words, as far as they hold one."""
    pieces = (piece for paragraph in _BLANK.split(text) for piece in cut(paragraph, words))
    return (piece for piece in pieces if terms(piece))
