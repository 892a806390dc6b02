"""The run directory: cells that are either done or not there, a manifest, one writer."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from selfmoe.contracts.errors import RunError
from selfmoe.store.cell import LOCK as CELL_LOCK
from selfmoe.store.cell import Cell
from selfmoe.store.lock import held, holder
from selfmoe.store.manifest import Manifest, PlannedCell, PlanRecord, read_manifest, read_plan

CELL_FOLDERS: Mapping[str, str] = {
    "seeds": "seeds",
    "brainstorm": "brainstorm",
    "respond": "respond",
    "curate": "data",
    "specialise": "experts",
    "compose": "compositions",
    "evaluate": "evaluations",
    "cost": "costs",
    "route": "routes",
}
"""The folder of a run directory in which the cells of a stage lie."""

FOLDERS = ("work", *CELL_FOLDERS.values(), "report", "comparison", "claims", "continual")
"""Folders of a run directory; whatever else lies there is left alone."""

CONFIG = "config.yaml"
"""The complete settings of the last command."""

EVALUATION = "evaluation.yaml"
"""The same of an evaluation without a run: what its folder is told by."""

LOCK = "run.lock"
"""Held by whoever writes; there from the first command on."""


class RunDirectory:
    """A folder that holds one run.

    Attributes:
        root: The folder.
        MANIFEST: What there is, below the root.
        PLAN: The cells of the last command, done or not, below the root.
        SETTINGS: The complete settings of the last command, below the root.
        OTHER: The settings of what must not lie in the same folder.
        KIND: What the folder holds, in words.
    """

    MANIFEST: ClassVar[str] = "manifest.json"
    PLAN: ClassVar[str] = "work/plan.json"
    SETTINGS: ClassVar[str] = CONFIG
    OTHER: ClassVar[str] = EVALUATION
    KIND: ClassVar[str] = "a run"

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def again(self) -> str:
        """Return the command that makes again what is damaged or missing."""
        return command_for(self.root / CONFIG)

    def cell(self, folder: str, label: str, key: str) -> Cell:
        """Return the cell ``<folder>/<label>@<key>``, done or not."""
        name = f"{label}@{key}"
        return Cell(self.root / folder / name, self.root / "work" / folder / name, key)

    def check(self) -> None:
        """Refuse a root that is a file, lies below one, or holds something else.

        Raises:
            RunError: If it is or does.
        """
        for path in (self.root, *self.root.parents):
            if path.is_file():
                raise RunError(f"{path} is a file; --out must name a folder")
        if (self.root / self.OTHER).exists():
            raise RunError(f"{self._held_otherwise()}; choose another --out")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the run's lock; what a killed writer left half-done is removed.

        It is removed at the beginning and, as a worker may have been killed meanwhile, at the end.

        Raises:
            RunError: If another process is writing, or the folder cannot be written to.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                other = stack.enter_context(held(self.root / LOCK))
            except OSError as error:
                raise RunError(
                    f"cannot write to {self.root}: {error.strerror or error}; choose another --out"
                ) from None
            if other:
                raise RunError(
                    f"{self.root} is being written by {other}; wait for it or choose another --out"
                )
            self._sweep()
            yield
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed writer left half-done, and nothing that is not a run's own."""
        found = [p for name in FOLDERS for p in (self.root / name).rglob(".*.tmp-*")]
        for name in ("manifest.json", "results.json", self.SETTINGS):
            found += self.root.glob(f".{name}.tmp-*")
        for leftover in found:
            if not self._being_filled(leftover):
                _remove(leftover)

    def _being_filled(self, leftover: Path) -> bool:
        """Return whether a worker that outlived its run is still at the cell of a left-over."""
        parts = leftover.relative_to(self.root).parts
        folder, name, *_ = [*parts[parts[0] == "work" :], "", ""]
        name = re.sub(r"^\.(.+)\.tmp-.*$", r"\1", name)
        return holder(self.root / "work" / folder / name / CELL_LOCK) is not None

    def holder(self) -> str | None:
        """Return who holds the lock, as ``process 7 on host``; ``None`` if nobody does."""
        return holder(self.root / LOCK)

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            RunError: If there is none (not a run, or one that never finished), it is damaged, or
                the folder holds something else.
        """
        path = self.root / self.MANIFEST
        if (self.root / self.OTHER).exists():
            raise RunError(f"{self._held_otherwise()}; give the folder of {self.KIND}")
        if not path.exists():
            raise RunError(self._why_no_run())
        return read_manifest(path, self.again)

    def _held_otherwise(self) -> str:
        return f"{self.root} is the folder of {directory_of(self.root).KIND}"

    def manifest_problem(self) -> str | None:
        """Return what is wrong with the manifest; ``None`` if it is intact, or not written yet."""
        if not (self.root / self.MANIFEST).exists():
            return None
        try:
            self.manifest()
        except RunError as error:
            return str(error).partition("\n")[0]
        return None

    def _why_no_run(self) -> str:
        if not self.root.exists():
            return f"{self.root} does not exist; give the folder of a run"
        if not self.root.is_dir():
            return f"{self.root} is a file; give the folder of a run"
        if (self.root / self.SETTINGS).exists():
            noun = self.KIND.split()[-1]
            return f"{self.root} is no finished {noun}; go on with: {self.again}"
        out = shlex.quote(str(self.root))
        return (
            f"{self.root} is no finished run: it has no manifest.json\n"
            f"  Give the folder of a run, or make one: selfmoe run --out {out}"
        )

    def plan(self) -> list[PlannedCell]:
        """Return the cells of the last command, in order; empty if no readable plan is kept."""
        with contextlib.suppress(RunError):
            return self.intact_plan()
        return []

    def intact_plan(self) -> list[PlannedCell]:
        """Return the same; empty if no plan is on record.

        Raises:
            RunError: If there is one that cannot be read.
        """
        return read_plan(self.root / self.PLAN, self.again)

    def write_plan(self, cells: Sequence[PlannedCell]) -> None:
        """Write what a command is going to do, if that is new; done first, before any cell.

        Raises:
            RunError: If it cannot be written.
        """
        if self.plan() != list(cells):
            record = PlanRecord(format=PlanRecord.FORMAT, cells=list(cells))
            record.write(self.root / self.PLAN)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest; done last, when all its cells are.

        Raises:
            RunError: If it cannot be written.
        """
        manifest.write(self.root / self.MANIFEST)


class EvaluationDirectory(RunDirectory):
    """A folder that holds an evaluation without a run: its cells lie where those of runs do."""

    SETTINGS: ClassVar[str] = EVALUATION
    OTHER: ClassVar[str] = CONFIG
    KIND: ClassVar[str] = "an evaluation"

    @property
    def again(self) -> str:
        """Return the command that makes again what is damaged or missing."""
        return f"selfmoe evaluate --out {shlex.quote(str(self.root))}"

    @property
    def results(self) -> Path:
        """Return where the numbers lie."""
        return self.root / "results.json"


def directory_of(root: Path) -> RunDirectory:
    """Return a folder as what it holds: an evaluation, or a run."""
    held = EvaluationDirectory(root)
    return held if (root / held.SETTINGS).exists() else RunDirectory(root)


def command_for(config: Path) -> str:
    """Return the command that does what a run file says, as a shell takes it."""
    return f"selfmoe run {shlex.quote(str(config))}"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
