"""What processes need that run the code of one build where another one is installed."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def leave_out_installed() -> None:
    """Find no package through an editable installation: it has modules that other builds lack."""
    sys.meta_path[:] = [
        finder
        for finder in sys.meta_path
        if "__editable__" not in getattr(finder, "__module__", "")
    ]


def hasten(model: Any) -> None:
    """Prepare a model for products as the build does, if it does, when it loads a base."""
    try:
        products = importlib.import_module("selfmoe.models.products")
    except ImportError:
        return
    products.hasten(model)
