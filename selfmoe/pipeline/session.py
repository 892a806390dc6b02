"""What the tasks of a run share: the settings, the display, and the base, loaded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from selfmoe.config.model import RunConfig
from selfmoe.contracts.records import LoadedBase
from selfmoe.contracts.trainer import Trainer
from selfmoe.models.base import BaseFiles, load_base
from selfmoe.models.meter import Meter
from selfmoe.reporting.terminal.progress import Display

if TYPE_CHECKING:
    from selfmoe.models.remote.writing import Remote

Kept = TypeVar("Kept")


class Session:
    """Loads the base when a task first needs it.

    Args:
        config: The complete settings.
        files: Where the base lies.
        display: Where progress is shown.

    Attributes:
        files: Where the base lies.
        meter: Counts what the base computes.
    """

    def __init__(self, config: RunConfig, files: BaseFiles, display: Display) -> None:
        self.config, self.display = config, display
        self.files, self.meter = files, Meter()
        self._kept: dict[Callable[[], Any], Any] = {}

    @cached_property
    def base(self) -> LoadedBase:
        """Return the frozen base model; warns of what may differ with its files."""
        for note in self.files.notes:
            self.display.warn(f"base {self.files.name}: {note}")
        with self.display.work(f"loading {self.files.name}"):
            base = load_base(self.files, self.config)
        self.meter.watch(base.model)
        return base

    def remote(self, stage: str) -> Remote | None:
        """Return the backend that writes with the plain base in a stage, if not this process.

        Raises:
            StageError: If it cannot be reached, or does not have the base.
        """
        return self._remote if writes_elsewhere(self.config, stage) else None

    @cached_property
    def _remote(self) -> Remote:
        from selfmoe.models.remote.sameness import check_same
        from selfmoe.models.remote.writing import Remote

        chosen = self.config.generate
        backend = self.config.registry.configure("backend", str(chosen.backend), chosen.options)
        base = self.base
        writer = backend.open(base)
        with self.display.work(f"comparing the base with that of {writer.name}"):
            check_same(writer, base)
        return Remote(writer, base)

    def kept(self, make: Callable[[], Kept]) -> Kept:
        """Return what tasks keep for those that come after them, made by the first that asks."""
        if make not in self._kept:
            self._kept[make] = make()
        found: Kept = self._kept[make]
        return found

    def under(self, config: RunConfig) -> Session:
        """Return a session with other settings; the base and what tasks keep are the same."""
        return _Under(self, config)

    def trainer(self, expert: str = "") -> Trainer:
        """Return the run's trainer, with the options of an expert or with those all have."""
        chosen = self.config.specialise
        trainer: Trainer = self.config.registry.configure(
            "trainer", str(chosen.trainer), chosen.options_of(expert)
        )
        return trainer


def writes_elsewhere(config: RunConfig, stage: str) -> bool:
    """Return whether a backend writes with the plain base in a stage."""
    return config.generate.backend is not None and stage in config.generate.stages


class _Under(Session):
    """A session that has base and whatever tasks keep from another."""

    def __init__(self, over: Session, config: RunConfig) -> None:
        super().__init__(config, over.files, over.display)
        self._over, self._kept, self.meter = over, over._kept, over.meter

    @cached_property
    def base(self) -> LoadedBase:
        return self._over.base
