"""What is still to do, in time: from how long cells of the same stage took that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from selfmoe.contracts.errors import counted
from selfmoe.store.cells import read_json
from selfmoe.store.directory import CELL_FOLDERS
from selfmoe.store.files import SEAL


def estimate(root: Path, stages: Iterable[str]) -> str:
    """Return how long some cells will take, as a sentence.

    Args:
        root: The run's folder, whose finished cells say how long theirs took.
        stages: The stage of every cell that is to do.
    """
    todo = Counter(stages)
    means = {stage: seconds_of(root, stage) for stage in todo}
    unknown = [stage for stage, mean in means.items() if mean is None]
    total = sum(mean * todo[stage] for stage, mean in means.items() if mean is not None)
    said = f"About {total / 60:.0f} min, by what such cells took here."
    if len(unknown) == len(todo):
        return "How long that takes is not known here: no such cell is done." if todo else ""
    more = ", ".join(counted(todo[stage], "cell") + f" of {stage}" for stage in unknown)
    return said + (f" Not known: {more}." if unknown else "")


def seconds_of(root: Path, stage: str) -> float | None:
    """Return the mean time that finished cells of a stage took; ``None`` if there is none."""
    seals = (root / CELL_FOLDERS[stage]).glob(f"*@*/{SEAL}")
    found = [float(read_json(seal).get("seconds", 0.0)) for seal in seals]
    return fmean(found) if found else None
