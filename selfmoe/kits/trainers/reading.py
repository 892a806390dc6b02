"""Reading batches as the fitting loop does."""

from selfmoe.models.fitting.reading import Responses

__all__ = ["Responses"]
