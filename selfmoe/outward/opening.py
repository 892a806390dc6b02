"""A finished run, opened: its settings, its base, and the systems that were made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError, SelfmoeError, unknown_name
from selfmoe.contracts.names import CellName
from selfmoe.contracts.records import System
from selfmoe.store.directory import RunDirectory, directory_of
from selfmoe.store.files import check_intact
from selfmoe.store.manifest import Manifest

if TYPE_CHECKING:
    from selfmoe.contracts.records import LoadedBase
    from selfmoe.models.base import BaseFiles


@dataclass(frozen=True)
class OpenRun:
    """A finished run.

    Attributes:
        directory: Its folder.
        manifest: What was made.
        config: Its settings.
        seed: The root seed that is meant.
    """

    directory: RunDirectory
    manifest: Manifest
    config: RunConfig
    seed: str

    def made(self) -> dict[str, Path | None]:
        """Return the folder of what makes each system there is; ``None`` for the base itself."""
        found: dict[str, Path | None] = {}
        for name, kind in self.manifest.systems.items():
            if kind == "base":
                found[name] = None
            elif (cell := self.manifest.cell(self.seed, _maker(System(name, kind)))) is not None:
                found[name] = self.directory.root / cell.path
        return found

    def find(self, system: str) -> tuple[System, Path | None]:
        """Return a system, and the folder of what makes it.

        Raises:
            RunError: If it could not be made, or is damaged.
            UnknownNameError: If the run has no such system.
        """
        made = self.made()
        named = self.manifest.system(system)
        if named is None or system not in made:
            raise self._not_made(system, made)
        cell = made[system]
        if cell is not None:
            check_intact(cell, self.directory.again)
        return named, cell

    @cached_property
    def files(self) -> BaseFiles:
        """Where the base lies that the run was made with.

        Raises:
            RunError: If it is another one now.
            DataError: If it is not there.
        """
        from selfmoe.models.base import check_same, find_base

        files = find_base(self.config)
        check_same(files, self.manifest.base, self.directory.again)
        return files

    def load_base(self) -> LoadedBase:
        """Return the base that the run was made with.

        Raises:
            RunError: If it is another one now.
            DataError: If it cannot be loaded.
        """
        from selfmoe.models.base import load_base

        return load_base(self.files, self.config)

    def _not_made(self, system: str, made: dict[str, Path | None]) -> SelfmoeError:
        known = self.manifest.system(system)
        if known is None:
            return unknown_name("system", system, made)
        why = self.manifest.why_missing(self.seed, _maker(known)) or "the run lacks it"
        return RunError(f"'{system}' was not made: {why}\n  Available: {', '.join(sorted(made))}.")


def open_run(
    root: Path, seed: int | None = None, *, device: str | None = None, dtype: str | None = None
) -> OpenRun:
    """Return a finished run, ready to load systems from.

    Args:
        root: The run's folder.
        seed: Root seed of the pipeline; default: the run's first.
        device: Where to put the base; default: as the run's settings say.
        dtype: Its number format; default: as the run's settings say.

    Raises:
        RunError: If the folder holds no finished run.
        UnknownNameError: If it has no such root seed.
    """
    directory = directory_of(root)
    manifest = directory.manifest()
    instead = {"device": device, "dtype": dtype}
    settings = manifest.config | {k: v for k, v in instead.items() if v is not None}
    config = resolve(settings, str(root / "manifest.json"))
    chosen = manifest.chosen(config.root_seeds[0] if seed is None else seed)
    return OpenRun(directory, manifest, config, chosen)


def _maker(system: System) -> CellName:
    """Return the name of the cell that makes a system."""
    if system.kind == "expert":
        return CellName("specialise", system.expert)
    return CellName("compose", system.name)
