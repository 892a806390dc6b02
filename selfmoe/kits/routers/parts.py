"""What routers read of a model, of experts and of data."""

from selfmoe.mixture.adapters import Factors, by_site, factors_of, write_factors
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import references
from selfmoe.models.fitting.batches import collate, encode_all
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.structure import final_width, find_decoder, own_states, text_config
from selfmoe.models.tokens import padding

__all__ = [
    "Factors",
    "RoutedDelta",
    "attach",
    "by_site",
    "checkpointing",
    "collate",
    "encode_all",
    "factors_of",
    "final_width",
    "find_decoder",
    "own_states",
    "padding",
    "references",
    "text_config",
    "write_factors",
]
