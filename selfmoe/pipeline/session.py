"""What the tasks of a run share: the settings, the display, and the base, loaded once."""

from __future__ import annotations

from functools import cached_property

from selfmoe.config.model import RunConfig
from selfmoe.contracts.records import LoadedBase
from selfmoe.contracts.trainer import Trainer
from selfmoe.models.base import BaseFiles, load_base
from selfmoe.reporting.terminal.progress import Display


class Session:
    """Loads the base when a task first needs it.

    Args:
        config: The complete settings.
        files: Where the base lies.
        display: Where progress is shown.

    Attributes:
        files: Where the base lies.
    """

    def __init__(self, config: RunConfig, files: BaseFiles, display: Display) -> None:
        self.config, self.display = config, display
        self.files = files

    @cached_property
    def base(self) -> LoadedBase:
        """Return the frozen base model."""
        with self.display.work(f"loading {self.files.name}"):
            return load_base(self.files, self.config)

    def trainer(self) -> Trainer:
        """Return the run's trainer with its options."""
        chosen = self.config.specialise
        trainer: Trainer = self.config.registry.configure(
            "trainer", str(chosen.trainer), chosen.options
        )
        return trainer
