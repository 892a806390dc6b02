"""What experts are made of: the LoRA factors of each layer, read and written."""

from selfmoe.mixture.adapters import Factors, by_site, factors_of, write_factors

__all__ = ["Factors", "by_site", "factors_of", "write_factors"]
