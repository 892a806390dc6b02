"""A composition at work on a model, for routers that train more than their gate."""

from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.runtime import attach

__all__ = ["RoutedDelta", "attach"]
