"""The model everything starts from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from selfmoe.contracts.component import Component


class Base(Component):
    """A base model that can be named instead of given by path.

    Attributes:
        settings: What it recommends, by preset name: ``run``, settings in the shape of the YAML,
            and ``options``, component name -> options.
        preset: The preset a run on this base uses when none is asked for.
    """

    settings: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    preset: ClassVar[str] = "paper"

    @abstractmethod
    def path(self) -> Path:
        """Return the folder with model and tokenizer in the transformers format, or a GGUF file."""
