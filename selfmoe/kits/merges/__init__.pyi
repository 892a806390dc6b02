from .deltas import (
    MergeSite as MergeSite,
)
from .deltas import (
    Truncated as Truncated,
)
from .deltas import (
    merge_deltas as merge_deltas,
)
from .deltas import (
    truncate as truncate,
)
from .parts import references as references
