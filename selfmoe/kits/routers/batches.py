"""Examples as batches of tokens, for routers that read them by themselves."""

from selfmoe.models.fitting.batches import collate, encode_all
from selfmoe.models.tokens import padding

__all__ = ["collate", "encode_all", "padding"]
