"""The versions of the libraries that results depend on."""

from __future__ import annotations

from importlib_metadata import PackageNotFoundError, version

LIBRARIES = ("selfmoe", "torch", "transformers", "peft", "lm-eval", "datasets", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
