"""What the forwards of transformers' models call their cache."""

from __future__ import annotations

import inspect
from typing import Any

NAMES = ("cache", "past_key_values", "cache_params")
"""What decoders of transformers call the cache, the newest name first."""


def cache_name(model: Any) -> str | None:
    """Return what the forward of a model or stack calls its cache; ``None`` if it takes none."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in NAMES if name in parameters), None)
