"""Seeds that depend on what they are for, never on what ran before."""

from __future__ import annotations

import hashlib
import random


def derive(root: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, such as ``derive(0, "brainstorm", "math", 7)``."""
    return digest("\0".join([str(root), *map(str, purpose)])) >> 1


def rng_for(*purpose: object) -> random.Random:
    """Return a generator that depends on the purpose alone, not on global state or hash seeds."""
    return random.Random(digest("\x1f".join(map(str, purpose))))


def digest(text: str) -> int:
    """Return the first 64 bits of a text's sha256 as a number."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def permutation(n: int, seed: int) -> list[int]:
    """Return 0..n-1 in an order that depends on ``seed`` only."""
    order = list(range(n))
    random.Random(seed).shuffle(order)
    return order
