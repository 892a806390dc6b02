"""Mixtures of LoRA experts on one base model: routed, merged, stored.

``compose`` makes one in a line; ``attach`` puts a stored composition on a model.
"""

from selfmoe.mixture.api import compose
from selfmoe.mixture.runtime import Mixture, attach
from selfmoe.mixture.scope import Record, Trace
from selfmoe.mixture.storage import load, save

__all__ = ["Mixture", "Record", "Trace", "attach", "compose", "load", "save"]
