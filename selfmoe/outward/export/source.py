"""What is exported: a system at work on its base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import LoadedBase, System
from selfmoe.mixture.handle import Mixture, mixture_of


@dataclass(frozen=True)
class Source:
    """A system of a run, attached to its base.

    Attributes:
        base: The base; its model carries the system.
        system: What is attached.
        composer: What composed it; ``None`` for an expert alone.
        origin: Where the base's weights are for others: hub id or folder.
        revision: The commit of a hub id.
    """

    base: LoadedBase
    system: System
    composer: Composer | None
    origin: str
    revision: str | None = None

    @property
    def mixture(self) -> Mixture:
        """Return what is attached.

        Raises:
            NotSupportedError: If that is the base by itself.
        """
        if self.system.kind == "base":
            raise NotSupportedError(
                f"'{self.system.name}' is the base by itself: {self.origin} is what other programs "
                "load\n  Export an expert, a merge or a router."
            )
        return mixture_of(self.base.model)

    @property
    def model(self) -> Any:
        """Return the base's model, with what is attached."""
        return self.base.model

    @property
    def routes(self) -> bool:
        """Return whether the system chooses experts while the model runs."""
        return self.mixture.gate is not None
