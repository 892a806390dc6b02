"""How many processes a command was started as: by torchrun, or what sets the same variables."""

from __future__ import annotations

import os

_TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def number_of_processes() -> int:
    """Return how many there are, this one counted."""
    there = all(os.environ.get(name) for name in _TOLD)
    return int(os.environ["WORLD_SIZE"]) if there else 1


def own_rank() -> int:
    """Return the number of this one, from 0."""
    return int(os.environ["RANK"]) if number_of_processes() > 1 else 0
