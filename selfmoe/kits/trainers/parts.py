"""What trainers ask of a model: its linears, what a router can weigh, checkpointing."""

from selfmoe.mixture.sites.coverage import Coverage, coverage_of
from selfmoe.mixture.sites.tokenwise import ASIDE, IDLE, NO_PRODUCT, OUTSIDE
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.structure import linears

__all__ = [
    "ASIDE",
    "IDLE",
    "NO_PRODUCT",
    "OUTSIDE",
    "Coverage",
    "checkpointing",
    "coverage_of",
    "linears",
]
