"""Converting a GGUF file once: into a folder of the cache that is whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.paths import expand
from selfmoe.models.gguf.header import Header, read_header
from selfmoe.models.gguf.tokenizer import build_tokenizer, doubts
from selfmoe.models.gguf.weights import read_model, rewrite, write_model
from selfmoe.store.files import SEAL, commit_folder, damage, hash_of

VERSION = 1
"""Of this conversion; a change of what it writes makes folders anew."""


@dataclass(frozen=True)
class Converted:
    """A GGUF file, converted.

    Attributes:
        path: Folder with the model and tokenizer in the transformers format.
        quantisation: How the weights were stored, such as ``Q4_1``.
        notes: What may differ from llama.cpp on the same file, in words.
    """

    path: Path
    quantisation: str
    notes: tuple[str, ...]


def cache() -> Path:
    """Return where converted files are kept: ``$SELFMOE_CACHE/gguf``, else below ``~/.cache``."""
    return expand(os.environ.get("SELFMOE_CACHE") or "~/.cache/selfmoe") / "gguf"


def convert(file: Path) -> Converted:
    """Return the folder that a GGUF file is converted to; made now if it is not there.

    Its name follows from what the file holds and what converts it, so that a file that was moved
    is not converted again, and one that was changed is.

    Raises:
        DataError: If the file cannot be converted faithfully, or the cache cannot be written.
    """
    key = _key(file)
    target = next(cache().glob(f"*-{key}"), cache() / f"{file.stem}-{key}")
    if damage(target, hashes=False) is not None:
        with _alone(target):
            if damage(target, hashes=False) is not None:
                _make(file, target)
    facts = json.loads((target / SEAL).read_text("utf-8"))
    return Converted(target, facts["quantisation"], tuple(facts["notes"]))


def _key(file: Path) -> str:
    """Return what the file holds and what converts it, in 16 and a few characters."""
    programs = "-".join(_version(name) for name in ("transformers", "gguf"))
    return f"{hash_of(file)[:16]}-{VERSION}-{programs}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other processes from making the same folder, and clear away what a kill left of it."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            for left in target.parent.glob(f".{target.name}.tmp-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
    except OSError as error:
        raise DataError(
            f"cannot write {target}: {error.strerror or error}\n"
            "  Make room, or set SELFMOE_CACHE to a folder that can be written to."
        ) from None


def _make(file: Path, target: Path) -> None:
    header = read_header(file)
    size = file.stat().st_size / 1e6
    say = f"Converting {file.name} ({size:.0f} MB, {header.quantisation}) once, to {target}"
    print(say, file=sys.stderr, flush=True)
    commit_folder(target, lambda folder: _write(header, folder), _facts(header))


def _facts(header: Header) -> Mapping[str, Any]:
    return {
        "gguf": header.path.name,
        "sha256": hash_of(header.path),
        "quantisation": header.quantisation,
        "notes": list(doubts(header)),
    }


def _write(header: Header, folder: Path) -> None:
    build_tokenizer(header).save_pretrained(folder)
    rewrite(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    write_model(read_model(header), folder)
