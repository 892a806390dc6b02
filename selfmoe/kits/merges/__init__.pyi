from .deltas import (
    MergeSite as MergeSite,
    Truncated as Truncated,
    merge_deltas as merge_deltas,
    truncate as truncate,
)
