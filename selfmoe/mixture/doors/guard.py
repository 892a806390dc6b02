"""All doors of a model at once."""

from __future__ import annotations

from selfmoe.mixture.doors.batching import guard_batching
from selfmoe.mixture.doors.prompts import guard_prompts
from selfmoe.mixture.doors.save_pretrained import guard_saving
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.surgery import Surgery


def guard(mixture: Mixture, surgery: Surgery) -> None:
    """Replace what would not do with a mixture what its name says.

    Args:
        mixture: What is on the model.
        surgery: Changes the model.
    """
    guard_saving(mixture, surgery)
    if mixture.gate is not None:
        guard_batching(mixture, surgery)
        guard_prompts(mixture, surgery)
