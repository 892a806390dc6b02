"""Which linears a model has, and which of them a router can weigh token by token."""

from selfmoe.mixture.sites.coverage import Coverage, coverage_of
from selfmoe.mixture.sites.tokenwise import ASIDE, IDLE, NO_PRODUCT, OUTSIDE
from selfmoe.models.structure import linears

__all__ = ["ASIDE", "IDLE", "NO_PRODUCT", "OUTSIDE", "Coverage", "coverage_of", "linears"]
