"""What is there of a run: its manifest, and the finished cells that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfmoe.errors import DataError
from selfmoe.files import SEAL
from selfmoe.rundir import RunDirectory
from selfmoe.systems import System

Json = dict[str, Any]


class Cells:
    """The finished cells of a run; nothing is loaded but what is asked for.

    Args:
        root: The run's folder.

    Attributes:
        root: The same.
        manifest: Its manifest.
        seeds: Its root seeds, as the manifest writes them.

    Raises:
        RunError: If the folder holds no run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = RunDirectory(root).manifest()
        self.seeds: list[str] = list(self.manifest["cells"])

    @property
    def config(self) -> Json:
        """Return the run's complete settings."""
        config: Json = self.manifest["config"]
        return config

    @property
    def systems(self) -> list[System]:
        """Return what answered the benchmarks, the base first."""
        return [System(name, kind) for name, kind in self.manifest["systems"].items()]

    @property
    def missing(self) -> dict[str, dict[str, str]]:
        """Return ``root seed -> cell -> why`` of what could not be done when it ran last."""
        missing: dict[str, dict[str, str]] = self.manifest.get("missing", {})
        return missing

    @property
    def left_out(self) -> dict[str, str]:
        """Return the benchmarks that were not asked, each with why."""
        left_out: dict[str, str] = self.manifest.get("left_out", {})
        return left_out

    def of(self, seed: str, stage: str) -> Iterator[tuple[str, Path]]:
        """Yield label and folder of every finished cell of a stage."""
        for name, facts in self.manifest["cells"][seed].items():
            made_by, _, label = name.partition("/")
            folder = self.root / facts["path"]
            if made_by == stage and folder.exists():
                yield label, folder

    def seals(self) -> Iterator[tuple[str, Json]]:
        """Yield stage and seal of every cell, those that several root seeds share once."""
        seen = {
            facts["path"]: name.partition("/")[0]
            for cells in self.manifest["cells"].values()
            for name, facts in cells.items()
        }
        for path, stage in seen.items():
            if (self.root / path).exists():
                yield stage, read_json(self.root / path / SEAL)

    @property
    def keys(self) -> list[str]:
        """Return the keys of all cells, in order."""
        cells = self.manifest["cells"].values()
        return [facts["key"] for named in cells for facts in named.values()]


def read_json(path: Path) -> Any:
    """Return what a JSON file of a run holds.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; run the same command again") from None
