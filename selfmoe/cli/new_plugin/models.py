"""The model that a new base starts from: the installed default base, or a folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfmoe.contracts.base import Base
from selfmoe.contracts.errors import PluginError
from selfmoe.models.checkpoints import FILES, check_checkpoint
from selfmoe.registry.registry import registry

BESIDE = ("README*", "LICENSE*", "LICENCE*", "NOTICE*")
"""Files that must go with a model wherever it goes."""


@dataclass(frozen=True)
class Model:
    """A model to copy.

    Attributes:
        path: Its folder.
        origin: What it is, in words.
        preset: The preset its runs use when none is asked for.
        settings: What it recommends by preset, as in ``Base.settings``.
    """

    path: Path
    origin: str
    preset: str = Base.preset
    settings: Mapping[str, Any] = field(default_factory=dict)


def starting_model(folder: Path | None) -> Model:
    """Return the model in a folder, or by default that of the installed default base.

    Raises:
        DataError: If the folder holds no model that can be a base.
        PluginError: If there is no default base.
    """
    if folder is not None:
        check_checkpoint(str(folder), folder)
        return Model(folder, "the model it was made with")
    names = registry().defaults("base")
    if not names:
        raise PluginError("there is no base to start from\n  Name a model: --model FOLDER")
    base = registry().configure("base", names[0])
    advice = {base.preset: base.settings.get(base.preset, {})}
    return Model(Path(base.path()), f"the base {names[0]}", base.preset, advice)


def copy_model(model: Model, target: Path) -> None:
    """Copy what makes a model, and the texts that must go with it, into a new folder."""
    target.mkdir()
    for pattern in (*FILES, *BESIDE):
        for file in model.path.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
