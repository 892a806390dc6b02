"""A base model: transformers files in the folder ``weights`` beside this module."""

from pathlib import Path

from selfmoe.contracts import Base, hookimpl

SELFMOE_API = 1


class Mine(Base):
    """My own small model."""

    name = "mine"

    def path(self):
        return Path(__file__).parent / "weights"


@hookimpl
def register_bases():
    return [Mine]
