"""Benchmarks of a base and of adapters for it, without a run.

    settings -> plan -> cells (adapters taken over, evaluations) -> results -> table

``selfmoe.api.evaluation.evaluate.evaluate`` does all of it; cells are those of runs, under the same
keys.
"""
