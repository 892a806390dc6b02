"""What a mixture is doing right now, in the thread that asks: every thread has its own.

A forward runs in one thread from its beginning to its end, and so does the recomputation of a
block during backward. What belongs to one forward or one block is kept here and nowhere else, so
that threads that share a model share its weights alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.record import Listener
from selfmoe.mixture.forward.scope import Annotation, Scope


class Running(threading.local):
    """What runs in this thread.

    Attributes:
        scope: Of the forward of the model, while it runs.
        block: What stands for the decoder block that is running.
        block_scope: What it was handed: in a recomputation, the scope of a forward that is over.
        rows: Batch and time of its hidden states.
        weights: Those for all linears of that block, unless they ask for themselves.
        said: What the caller says of the rows of the forwards to come.
        record: Where their routing is written down, if anywhere.
    """

    def __init__(self) -> None:
        # Called once a thread. Set on the instance: torch.compile takes defaults of the class for
        # what a thread's own attributes are.
        self.scope: Scope | None = None
        self.block: object | None = None
        self.block_scope: Scope | None = None
        self.rows: torch.Size = torch.Size()
        self.weights: Weights | None = None
        self.said: Annotation | None = None
        self.record: Listener | None = None

    @contextmanager
    def having(self, **values: Any) -> Iterator[None]:
        """Set attributes while the context lasts.

        Raises:
            CompositionError: If something else has changed them meanwhile, as tasks do that take
                turns in one thread.
        """
        before = {name: getattr(self, name) for name in values}
        vars(self).update(values)
        try:
            yield
        finally:
            changed = [name for name in values if getattr(self, name) is not values[name]]
            vars(self).update(before)
        if changed:
            raise CompositionError(
                "annotate and record of one thread must end in the reverse order of their "
                "beginning; let tasks that take turns run in threads of their own"
            )

    def __deepcopy__(self, memo: dict[int, Any]) -> Running:
        """Return that of a copied mixture, in which nothing runs."""
        return Running()

    def __reduce__(self) -> tuple[Callable[[], Running], tuple[()]]:
        return Running, ()
