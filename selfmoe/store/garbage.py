"""What a run directory holds that its present settings do not need, and deleting it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfmoe.store.beside import BESIDE
from selfmoe.store.directory import CELL_FOLDERS, RunDirectory
from selfmoe.store.files import damage
from selfmoe.store.manifest import Manifest
from selfmoe.store.status import size_of

CELL = re.compile(r".+@[0-9a-f]{10}(\.damaged-\d+)?")
"""Names of cells, and of what was set aside of damaged ones."""


@dataclass(frozen=True)
class Garbage:
    """A folder that nothing names any more.

    Attributes:
        path: The folder.
        why: ``not named``, ``damaged copy`` or ``left-over work``.
        size: Bytes of its files.
    """

    path: Path
    why: str
    size: int


def find_garbage(run: RunDirectory) -> list[Garbage]:
    """Return the cells that nothing names, and left-over work.

    What names cells is the manifest, the last command, and what the last comparison, claims and
    experts one by one needed, with their manifests.
    Only folders that are named like cells, in the folders of cells, are looked at; links never.

    Raises:
        RunError: If the folder holds no finished run, which names its cells, or what the last
            command needs cannot be read.
    """
    named, planned = _named(run.manifest()), {cell.path for cell in run.intact_plan()}
    for other in (cls(run.root) for cls in BESIDE):
        planned |= {cell.path for cell in other.intact_plan()}
        if (run.root / other.MANIFEST).exists():
            named |= _named(other.manifest())
    found = []
    for folder in CELL_FOLDERS.values():
        for path in _cells(run.root, folder):
            if f"{folder}/{path.name}" not in named | planned:
                copy = ".damaged-" in path.name
                found.append(Garbage(path, "damaged copy" if copy else "not named", size_of(path)))
        for path in _cells(run.root, f"work/{folder}"):
            name = f"{folder}/{path.name}"
            if name not in planned or damage(run.root / name, hashes=False) is None:
                found.append(Garbage(path, "left-over work", size_of(path)))
    return found


def _named(manifest: Manifest) -> set[str]:
    return {cell.path for _, cell in manifest.all_cells()}


def delete(garbage: Garbage) -> None:
    """Delete a folder; a kill halfway leaves what the next writer sweeps up.

    Raises:
        OSError: If it cannot be deleted.
    """
    doomed = garbage.path.with_name(f".{garbage.path.name}.tmp-{os.getpid()}")
    garbage.path.rename(doomed)
    shutil.rmtree(doomed)


def _cells(root: Path, below: str) -> Iterator[Path]:
    """Yield the folders named like cells, unless a link is or leads to one."""
    folder = root / below
    parents = [folder, *folder.parents[: below.count("/")]]
    if any(path.is_symlink() for path in parents) or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if CELL.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path
