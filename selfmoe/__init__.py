"""selfmoe: mixtures of self-specialised experts from one base LLM (arXiv 2406.12034)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfmoe.api import load, run
    from selfmoe.config import RunConfig
    from selfmoe.errors import SelfmoeError
    from selfmoe.growth import add_expert, remove_expert
    from selfmoe.hookspecs import hookimpl
    from selfmoe.mixture import compose, load_mixture, save_mixture
    from selfmoe.sandbox import run as run_sandboxed

__version__ = "0.1.0"

__all__ = [
    "RunConfig",
    "SelfmoeError",
    "add_expert",
    "compose",
    "hookimpl",
    "load",
    "load_mixture",
    "remove_expert",
    "run",
    "run_sandboxed",
    "save_mixture",
]

_LAZY = {
    "RunConfig": ("selfmoe.config", "RunConfig"),
    "SelfmoeError": ("selfmoe.errors", "SelfmoeError"),
    "add_expert": ("selfmoe.growth", "add_expert"),
    "compose": ("selfmoe.mixture", "compose"),
    "hookimpl": ("selfmoe.hookspecs", "hookimpl"),
    "load": ("selfmoe.api", "load"),
    "load_mixture": ("selfmoe.mixture", "load_mixture"),
    "remove_expert": ("selfmoe.growth", "remove_expert"),
    "run": ("selfmoe.api", "run"),
    "run_sandboxed": ("selfmoe.sandbox", "run"),
    "save_mixture": ("selfmoe.mixture", "save_mixture"),
}


def __getattr__(name: str) -> Any:
    """Import public names when first asked for, so that ``import selfmoe`` stays quick."""
    import importlib

    if name not in _LAZY:
        raise AttributeError(f"module 'selfmoe' has no attribute '{name}'")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)
