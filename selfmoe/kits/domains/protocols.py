"""What published protocols prescribe, and which items are benchmarks' own."""

from selfmoe.evaluation.leaks import item_keys
from selfmoe.evaluation.stock import stock_file, stock_settings

__all__ = ["item_keys", "stock_file", "stock_settings"]
