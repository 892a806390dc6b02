"""What the driver of the sandbox is told."""

from typing import TypedDict


class Order(TypedDict):
    """A program to run and the walls to run it behind, marshalled."""

    tier: str
    program: str
    token: bytes
    cpu_s: int
    filter: bytes
    readable: list[str]
    devices: list[str]
    scratch_bytes: int
    count_processes: bool
