"""Libraries that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from selfmoe.contracts.errors import NotSupportedError


def needed(extra: str, *libraries: str) -> None:
    """Refuse to go on without the libraries of an extra.

    Args:
        extra: Its name.
        libraries: What it installs.

    Raises:
        NotSupportedError: If one is missing.
    """
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise NotSupportedError(
            f"this needs {' and '.join(missing)}\n  Install: pip install 'selfmoe[{extra}]'"
        )
