"""Fitting parameters to examples: batches, the loop, checkpoints."""
