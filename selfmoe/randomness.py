"""Seeds that depend on what they are for, never on what ran before."""

from __future__ import annotations

import hashlib
import random


def derive(root: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, such as ``derive(0, "brainstorm", "math", 7)``."""
    text = "\0".join([str(root), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def permutation(n: int, seed: int) -> list[int]:
    """Return 0..n-1 in an order that depends on ``seed`` only."""
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return order
