"""Finding code in what a model wrote, reading it without running it, and running its checks."""

from selfmoe.evaluation.code import (
    bound_names,
    code_pieces,
    defines,
    imported,
    parse_code,
    passes,
    python_in,
)

__all__ = [
    "bound_names",
    "code_pieces",
    "defines",
    "imported",
    "parse_code",
    "passes",
    "python_in",
]
