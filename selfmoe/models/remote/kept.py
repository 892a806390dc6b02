"""What a backend has answered, on disk as it comes: killed work asks for the rest alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from selfmoe.store.files import cannot_write


class Kept:
    """Answers by what was asked; each process that adds some has a file of its own.

    Args:
        folder: Where they are; made with the first answer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._own = folder, folder / f"{uuid.uuid4().hex}.jsonl"

    def get(self, key: Sequence[Any]) -> Any:
        """Return an answer as JSON has it; ``None`` if there is none yet.

        Args:
            key: All that it depends on, as JSON-ready values.
        """
        return self._known.get(json.dumps(key))

    def add(self, key: Sequence[Any], answer: Any) -> None:
        """Keep an answer from now on.

        Args:
            key: All that it depends on, as JSON-ready values.
            answer: A JSON-ready value.

        Raises:
            RunError: If it cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._own.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, answer]) + "\n")
        except OSError as error:
            raise cannot_write(self._own, error) from None

    def drop(self) -> None:
        """Forget what this process has added."""
        self._own.unlink(missing_ok=True)

    @cached_property
    def _known(self) -> dict[str, Any]:
        """Return what was there; a line that is not whole is where its writer was killed."""
        known = {}
        for file in sorted(self._folder.glob("*.jsonl")):
            for line in file.read_bytes().split(b"\n"):
                try:
                    key, answer = json.loads(line)
                except ValueError:
                    continue
                known[json.dumps(key)] = answer
        return known
