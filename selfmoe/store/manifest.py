"""Reading a run's manifest: whole, or one message on what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import RunError

FORMAT = 1
"""Version of the run directory's layout."""


def read_manifest(path: Path, again: str) -> dict[str, Any]:
    """Return a manifest.

    Args:
        path: The file.
        again: The command that makes it again, for the error.

    Raises:
        RunError: If it is damaged, or of another format.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise RunError(
                f"{path} has format {manifest['format']}, this selfmoe reads {FORMAT}; "
                f"upgrade selfmoe, or choose another --out"
            )
        _check(manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        reason = "it is not what was written" if isinstance(error, TypeError) else reason
        raise RunError(f"{path} is damaged: {reason}\n  This makes it again: {again}") from None
    return manifest


def _check(manifest: Mapping[str, Any]) -> None:
    """Stop unless a manifest holds what is read of it.

    Raises:
        KeyError: If something is not there.
        TypeError: If something is of another kind.
    """
    named = [_section(cells) for cells in _section(manifest["cells"]).values()]
    cells = [cell for group in named for cell in group.values()]
    texts = [manifest["base"]["hash"], *_section(manifest["systems"]).values()]
    texts += [text for cell in cells for text in (cell["key"], cell["path"])]
    _section(manifest["config"])
    if not named or not all(isinstance(text, str) for text in texts):
        raise TypeError


def _section(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value
