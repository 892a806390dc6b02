"""Mixtures of LoRA experts on one base model: routed, merged, stored.

``compose`` makes one in a line, ``save_mixture`` and ``load_mixture`` keep it; ``attach`` puts a
composition of a run on a model.
"""

from selfmoe.mixture.api import compose
from selfmoe.mixture.portable import load_mixture, save_mixture
from selfmoe.mixture.runtime import Mixture, attach
from selfmoe.mixture.scope import Record, Trace
from selfmoe.mixture.storage import load, save

__all__ = [
    "Mixture",
    "Record",
    "Trace",
    "attach",
    "compose",
    "load",
    "load_mixture",
    "save",
    "save_mixture",
]
