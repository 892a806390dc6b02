"""What merges name their experts with."""

from selfmoe.mixture.storage import references

__all__ = [
    "references",
]
