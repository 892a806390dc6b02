"""Examples as batches of tokens, and their loss, for routers that read them by themselves."""

from selfmoe.models.fitting.batches import collate, encode_all
from selfmoe.models.fitting.reading import ResponseLoss
from selfmoe.models.tokens import padding

__all__ = ["ResponseLoss", "collate", "encode_all", "padding"]
