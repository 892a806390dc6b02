"""Finding the logs of a model: a file, or the newest of every task in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from selfmoe.contracts.errors import DataError
from selfmoe.reporting.logs import lm_eval, own
from selfmoe.reporting.logs.items import TaskLog
from selfmoe.store.files import SEAL, read_jsonl

_PATTERNS = ("samples_*.jsonl", f"*{own.SUFFIX}")

_LISTED = 8
"""Folders that an error names."""


class ModelLog(NamedTuple):
    """All logs of a model.

    Attributes:
        path: As it was named.
        tasks: By name.
        notes: What was not read, in words.
    """

    path: Path
    tasks: Mapping[str, TaskLog]
    notes: tuple[str, ...]


def read_model(path: Path) -> ModelLog:
    """Return what a file of samples, or a folder of them, says of a model.

    Args:
        path: A file, the folder it lies in, or one with one such folder somewhere below.

    Raises:
        DataError: If there is none, or several models' lie below; says where.
    """
    if path.is_file():
        task = read_task(path)
        return ModelLog(path, {task.name: task}, ())
    if not path.is_dir():
        raise DataError(f"there is no {path}; name a file of samples, or the folder it lies in")
    newest: dict[str, Path] = {}
    older = []
    for file in sorted(_files(path), key=_date):
        task_name = _task(file)
        if task_name in newest:
            older.append(task_name)
        newest[task_name] = file
    notes = [f"{path}: of several logs of {name} the newest is read" for name in set(older)]
    found = [read_task(file) for _, file in sorted(newest.items())]
    return ModelLog(path, {task.name: task for task in found}, tuple(sorted(notes)))


def read_task(path: Path) -> TaskLog:
    """Return what a file of samples says.

    Raises:
        DataError: If it is empty, or holds something else.
    """
    if path.suffix == ".json":
        raise DataError(
            f"{path} holds results, not samples\n  Name the samples_<task>_<date>.jsonl beside it, "
            "or the folder they lie in; lm-eval writes them with --log_samples."
        )
    rows = read_jsonl(path)
    if not rows:
        raise DataError(f"{path} holds no samples")
    if lm_eval.is_row(rows[0]):
        return lm_eval.read(path, rows)
    if own.is_row(rows[0]):
        return own.read(path, rows)
    raise DataError(
        f"{path} holds no samples: its first row has the fields {', '.join(rows[0]) or 'none'}\n"
        "  lm-eval writes samples_<task>_<date>.jsonl with --log_samples, selfmoe "
        f"<domain>.<benchmark>{own.SUFFIX}."
    )


def _files(folder: Path) -> list[Path]:
    """Return the logs in a folder, or those of the only model that has some below."""
    here = _in(folder)
    if here:
        return here
    below = sorted({file.parent for kind in _PATTERNS for file in folder.rglob(kind)})
    if len({_model(place) for place in below}) == 1:
        return [file for place in below for file in _in(place)]
    if not below:
        raise DataError(
            f"{folder} holds no samples\n  lm-eval writes samples_<task>_<date>.jsonl with "
            f"--log_samples --output_path, selfmoe <domain>.<benchmark>{own.SUFFIX}."
        )
    some = "\n    ".join(map(str, below[:_LISTED]))
    more = f"\n    and {len(below) - _LISTED} more" if below[_LISTED:] else ""
    raise DataError(f"{folder} holds samples of several models; name one:\n    {some}{more}")


def _model(place: Path) -> Path:
    """Return what is the same in all folders of a model: of cells of selfmoe, the system."""
    cell = (place / SEAL).is_file()
    return place.with_name(place.name.partition("@")[0]) if cell else place


def _in(folder: Path) -> list[Path]:
    return [file for kind in _PATTERNS for file in folder.glob(kind) if file.is_file()]


def _task(file: Path) -> str:
    match = lm_eval.NAME.fullmatch(file.name)
    return match["task"] if match else file.name.removesuffix(own.SUFFIX)


def _date(file: Path) -> str:
    match = lm_eval.NAME.fullmatch(file.name)
    return match["date"] if match else ""
