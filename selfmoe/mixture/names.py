"""The names under which a mixture lies in a model."""

from __future__ import annotations

from torch import nn

from selfmoe.contracts.errors import CompositionError

HANDLE = "mixture"
"""The attribute of a model that holds its mixture."""
GATE = "selfmoe_gate"
"""The child of a model that is the gate of its router."""
DELTA = "selfmoe_delta"
"""The child of a linear layer that holds what experts add to it."""
OURS = (f"{GATE}.", f"{DELTA}.")
"""What the names of a mixture's own tensors in a state dict contain."""


def check_free(model: nn.Module) -> None:
    """Refuse a model that carries a mixture.

    Raises:
        CompositionError: If it does.
    """
    if hasattr(model, HANDLE):
        raise CompositionError("the model carries a mixture already; detach it first")
