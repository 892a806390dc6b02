"""The command line: one module a command, each a thin layer over ``selfmoe.api``."""

from __future__ import annotations

from selfmoe.cli.app import main

__all__ = ["main"]
