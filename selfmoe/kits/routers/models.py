"""Where a model's decoder blocks are, how wide it is, what its layers are given."""

from selfmoe.models.structure import final_width, find_decoder, own_states, text_config

__all__ = ["final_width", "find_decoder", "own_states", "text_config"]
