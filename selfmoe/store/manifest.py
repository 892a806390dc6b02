"""What a run consists of, and what its last command was going to do: two files, two records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from selfmoe.contracts.errors import RunError, unknown_name
from selfmoe.contracts.names import CellName, EvaluationName
from selfmoe.contracts.records import System, SystemKind
from selfmoe.store.record import FileRecord, StrictRecord, parse, read_record


def _cell_name(text: str) -> str:
    name = CellName.parse(text)
    if name.stage in ("evaluate", "route"):
        EvaluationName.parse(name.label)
    return text


class StoredBase(StrictRecord):
    """The base that a run was made with.

    Attributes:
        name: The name or path it was asked for by.
        hash: First 10 hex digits of a sha256 over its weights and tokenizer.
        chat: The same of its chat template, where that was used.
    """

    name: str
    hash: str
    chat: str = ""


class StoredCell(StrictRecord):
    """Where a cell lies.

    Attributes:
        key: Last part of its folder's name.
        path: Its folder, relative to the run's.
    """

    key: str
    path: str


class Manifest(FileRecord):
    """What a run, or a comparison on one, consists of.

    Attributes:
        base: The base it was made with.
        config: Its complete settings.
        versions: Library -> version.
        systems: What answered benchmarks, name -> kind, the base first.
        left_out: Benchmarks that were not asked, each with why.
        cells: ``seed -> cell -> where it lies``: root seeds of a run, composer seeds of a
            comparison; at least one.
        missing: ``seed -> cell -> why`` of what could not be done.
        no_composers: Of a comparison: composers that cannot work, by label, each with why.
    """

    base: StoredBase
    config: dict[str, Any]
    versions: dict[str, str] = Field(default_factory=dict)
    systems: dict[str, SystemKind]
    left_out: dict[str, str] = Field(default_factory=dict)
    cells: dict[str, dict[Annotated[str, AfterValidator(_cell_name)], StoredCell]] = Field(
        min_length=1
    )
    missing: dict[str, dict[str, str]] = Field(default_factory=dict)
    no_composers: dict[str, str] = Field(default_factory=dict)

    @field_validator("config")
    @classmethod
    def _template_of_old(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Say of runs made before there were others that they used Alpaca's template."""
        return {"prompts": {"template": "alpaca"}} | config

    @property
    def seeds(self) -> list[str]:
        """Return the seeds, as they are written."""
        return list(self.cells)

    def named(self, seed: str) -> dict[CellName, StoredCell]:
        """Return the cells of a seed by their names, in order."""
        return {CellName.parse(name): cell for name, cell in self.cells[seed].items()}

    def all_cells(self) -> Iterator[tuple[CellName, StoredCell]]:
        """Yield every cell of every seed; several seeds may share one."""
        for seed in self.cells:
            yield from self.named(seed).items()

    def chosen(self, seed: int) -> str:
        """Return a seed as the cells know it.

        Raises:
            UnknownNameError: If there is no such seed.
        """
        if str(seed) not in self.cells:
            raise unknown_name("root seed", str(seed), self.cells)
        return str(seed)

    def cell(self, seed: str, name: CellName) -> StoredCell | None:
        """Return where a cell of a seed lies, or ``None`` if there is no such cell."""
        return self.cells.get(seed, {}).get(str(name))

    def why_missing(self, seed: str, name: CellName) -> str | None:
        """Return why a cell could not be made, or ``None`` if it was not tried in vain."""
        return self.missing.get(seed, {}).get(str(name))

    def system(self, name: str) -> System | None:
        """Return a system by its name, or ``None`` if there is no such system."""
        kind = self.systems.get(name)
        return None if kind is None else System(name, kind)


def read_manifest(path: Path, again: str) -> Manifest:
    """Return a manifest.

    Args:
        path: The file.
        again: The command that makes it again, for the error.

    Raises:
        RunError: If it is damaged, or of another format.
    """
    return read_record(Manifest, path, again, newer="choose another --out")


class PlannedCell(StrictRecord):
    """A cell that a command needs, done or not.

    Attributes:
        seed: Root seed of its pipeline.
        stage: Name of the stage that makes it.
        label: What it is about.
        key: Last part of its folder's name.
        path: Its folder, relative to the run's.
        size: What it amounts to, in words.
    """

    seed: int
    stage: str
    label: str
    key: str
    path: str
    size: str


class PlanRecord(FileRecord):
    """The cells that the last command needs, in the order they are made."""

    cells: list[PlannedCell]


def read_plan(path: Path, again: str) -> list[PlannedCell]:
    """Return the cells of the last command, in order; empty if there is no such file.

    Args:
        path: The file.
        again: The command that makes it again, for the error.

    Raises:
        RunError: If there is one that cannot be read, or of another format.
    """
    try:
        return parse(PlanRecord, path, "run the command again that wrote it", again).cells
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} cannot be read: {type(error).__name__}: {error}\n"
            "  It says which cells the last command needs. Run that command again, which "
            "writes it anew."
        ) from None
