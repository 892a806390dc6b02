"""Comparing routers and merges on the experts of a finished run.

    specs -> plans -> cells (compositions, evaluations, costs) -> results -> tables

``selfmoe.api.comparison.compare.compare`` does all of it.
"""
