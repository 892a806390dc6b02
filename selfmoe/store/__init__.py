"""A run on disk: cells that are either done or not there, and the record of them."""
