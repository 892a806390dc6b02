"""Adapters from anywhere made one model, or one adapter, without a run."""
