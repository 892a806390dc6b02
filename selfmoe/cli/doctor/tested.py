"""Which releases of the libraries are tested, from the oldest to the newest.

The oldest is what the distribution asks for (``>=``); `NEWEST` holds the other end. Releases that
only mend a tested one (``5.24.1`` after ``5.24.0``) count as tested.
"""

from __future__ import annotations

from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

NEWEST = {
    "accelerate": "1.15.0",
    "bm25s": "0.3.16",
    "click": "8.5.1",
    "datasets": "5.2.0",
    "filelock": "4.3.1",
    "gguf": "0.19.0",
    "httpx": "0.28.1",
    "importlib-metadata": "10.2.0",
    "jinja2": "3.1.6",
    "lazy-loader": "0.6",
    "lm-eval": "0.4.13",
    "math-verify": "0.9.0",
    "matplotlib": "3.11.2",
    "packaging": "26.4",
    "peft": "0.21.2",
    "pluggy": "1.7.0",
    "psutil": "7.2.2",
    "pydantic": "2.14.4",
    "pyyaml": "6.0.4",
    "rapidfuzz": "3.14.6",
    "regex": "2026.11.19",
    "rich": "15.0.0",
    "safetensors": "0.8.0",
    "scipy": "1.17.1",
    "starlette": "1.10.0",
    "torch": "2.14.1",
    "transformers": "5.24.0",
    "uvicorn": "0.54.0",
}
"""The newest release of each library that the tests were run with."""


class Window(NamedTuple):
    """The releases of one library that are tested.

    Attributes:
        oldest: The lower end; empty if the requirement names none.
        newest: The upper end; empty if it is not known.
        below: What releases must be below of; empty if the requirement names nothing.
    """

    oldest: str
    newest: str
    below: str = ""

    def is_older(self, version: str) -> bool:
        """Return whether a release came before the window."""
        return bool(self.oldest) and Version(version) < Version(self.oldest)

    def is_newer(self, version: str) -> bool:
        """Return whether a release came after the window and does more than mend its end."""
        if self.below and Version(version) >= Version(self.below):
            return True
        return bool(self.newest) and _line(version) > _line(self.newest)

    def __str__(self) -> str:
        return f"{self.oldest or 'any'} to {self.newest or 'any'}"


def window(need: Requirement) -> Window:
    """Return what is tested of the library that a requirement names."""
    ends = {part.operator: part.version for part in need.specifier}
    newest = NEWEST.get(canonicalize_name(need.name), "")
    return Window(ends.get(">=", ""), newest, ends.get("<", ""))


def _line(version: str) -> tuple[int, ...]:
    """Return what a release and those that mend it have in common."""
    return Version(version).release[:2]
