"""Solved examples in prompts: which ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

from selfmoe.contracts.records import Seed


def pick(seeds: Sequence[Seed], n: int, seed: int) -> list[Seed]:
    """Return ``n`` different seeds (all, if there are fewer), in random order."""
    return random.Random(seed).sample(seeds, min(n, len(seeds)))
