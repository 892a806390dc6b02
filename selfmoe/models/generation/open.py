"""Batches that take rows while they run: what a server asks, where `stream` knows all beforehand.

A row is put in, and from then on every `step` gives it a token until it has ended; who put it in
looks at it. Rows of a batch may have other limits, stop strings and ways to draw.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import torch

from selfmoe.models.attending import Attending
from selfmoe.models.generation.ability import comes_and_goes
from selfmoe.models.generation.continuous import About, Continuous, at_once, nobody
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.slots import layers_of
from selfmoe.models.generation.static import Static

_FIRST = 4
"""Rows that there is room for at first; it grows as they come."""
_SLACK = 64
"""Columns beyond what rows need, so that they are moved seldom."""
_LEAST = 256
"""Columns that there is room for at first; when nobody is left, all room is given back."""


class Open(Protocol):
    """A batch that takes rows while it runs."""

    def put(self, row: Row) -> None:
        """Let a row wait for its turn."""

    def drop(self, row: Row) -> None:
        """Take a row out, before it has ended, too."""

    def step(self) -> None:
        """Give a token to every row that runs; those that wait are read first, if there is room."""

    def clear(self) -> None:
        """Forget all rows, and what the model keeps of them."""

    @property
    def busy(self) -> bool:
        """Whether a row runs or waits."""


def open_batch(
    model: Any,
    pad: int,
    slots: int,
    *,
    about: About = nobody,
    between: Callable[[], None] = lambda: None,
) -> Open:
    """Return a batch of a model that takes rows while it runs.

    Args:
        model: A causal language model of transformers, maybe with a mixture on it.
        pad: A token that pads.
        slots: Most rows at once.
        about: Tells whoever listens to the model whose rows a forward reads, while it does.
        between: Is called after every token of a model whose rows do not come and go: those that
            wait there wait until a whole batch has ended.
    """
    with torch.inference_mode():
        if comes_and_goes(model):
            return Coming(model, pad, slots, about)
    return Waiting(model, pad, slots, about, between)


class Coming(Continuous):
    """A batch whose rows come and go; its room grows with what they need.

    Args:
        model: The model; see ``ability.comes_and_goes``.
        pad: A token that pads.
        slots: Most rows at once.
        about: Tells whose rows a forward reads.
    """

    def __init__(self, model: Any, pad: int, slots: int, about: About = nobody) -> None:
        super().__init__(model, pad, 0, 0, about)
        self._attending = Attending(model)
        self._limit, self._room = slots, _LEAST
        self._waiting: deque[Row] = deque()

    @property
    def busy(self) -> bool:
        """Whether a row runs or waits."""
        return bool(self._live or self._waiting)

    def put(self, row: Row) -> None:
        """Let a row wait for its turn."""
        self._waiting.append(row)

    def drop(self, row: Row) -> None:
        """Take a row out, before it has ended, too."""
        row.ended = True
        self._waiting = without_ended(self._waiting)
        with torch.inference_mode():
            list(self._leave())
        if not self.busy:
            self.clear()

    def clear(self) -> None:
        """Forget all rows, and what the model keeps of them."""
        self._live, self._cache, self._prefix = [], None, ((), None)
        self._waiting.clear()
        self._slots, self._room, self._last = 0, _LEAST, 0

    def step(self) -> None:
        """Give a token to every row that runs; those that wait are read first, if there is room."""
        with torch.inference_mode(), self._attending:
            free = self._limit - len(self._live)
            if self._waiting and free:
                self.admit(self._waiting, free)
            if self._live:
                self.go_on()
        if not self.busy:
            self.clear()

    def _next(self, waiting: deque[Row], free: int) -> list[Row]:
        """Take the rows to read next, as many as are read in one forward; the first one anyway."""
        rows, most = [waiting.popleft()], at_once(self._forward.device)
        longest = len(rows[0].prompt)
        while waiting and len(rows) < free:
            longest = max(longest, len(waiting[0].prompt))
            if longest * (len(rows) + 1) > most:
                break
            rows.append(waiting.popleft())
        return rows

    # --- room -------------------------------------------------------------------------------------

    def _place(self, rows: Any, read: Any) -> None:
        self._widen(rows)
        super()._place(rows, read)

    def _widen(self, rows: list[Row]) -> None:
        """Make room for rows, behind the longest of their prompts."""
        slots, columns = self._slots or _FIRST, self._room
        while slots < len(self._live) + len(rows):
            slots *= 2
        while columns < max(len(row.prompt) for row in rows) + _SLACK:
            columns *= 2
        self._grow(min(slots, self._limit), columns)
        longest = max(len(row.prompt) for row in rows) - 1
        if self._cache is None or not self._live:
            self._last = longest
            for layer in layers_of(self._cache) if self._cache is not None else ():
                layer.rows, layer.first, layer.last = 0, longest, longest
        elif self._last < longest:
            self._shift(self._last - longest)

    def _columns(self) -> int:
        return self._room

    def _make_room(self) -> None:
        if self._last < self._room:
            return
        unused = min(row.start for row in self._live)
        if unused >= self._room // 4:
            self._shift(unused)
        else:
            self._grow(self._slots, 2 * self._room)

    def _grow(self, slots: int, columns: int) -> None:
        if (slots, columns) != (self._slots, self._room):
            self._slots, self._room = slots, columns
            for layer in layers_of(self._cache) if self._cache is not None else ():
                layer.grow(slots, columns)


def without_ended(rows: deque[Row]) -> deque[Row]:
    """Return the rows that have not ended."""
    return deque(row for row in rows if not row.ended)


class Waiting:
    """A batch for models whose rows do not come and go: who waits is taken when it has ended.

    Args:
        model: Anything with transformers' ``generate``.
        pad: A token that pads.
        slots: Most rows at once.
        about: Tells whose rows a batch has.
        between: Is called after every token.
    """

    def __init__(
        self, model: Any, pad: int, slots: int, about: About, between: Callable[[], None]
    ) -> None:
        self._static, self._slots, self._between = Static(model, pad, slots, about), slots, between
        self._attending = Attending(model)
        self._waiting: deque[Row] = deque()

    @property
    def busy(self) -> bool:
        """Whether a row waits."""
        return bool(self._waiting)

    def put(self, row: Row) -> None:
        """Let a row wait for its turn."""
        self._waiting.append(row)

    def drop(self, row: Row) -> None:
        """Take a row out, before it has ended, too."""
        row.ended = True
        self._waiting = without_ended(self._waiting)

    def clear(self) -> None:
        """Forget all rows."""
        self._waiting.clear()

    def step(self) -> None:
        """Give all tokens to the rows that have waited longest, as many as there is room for."""
        count = min(self._slots, len(self._waiting))
        rows = [self._waiting.popleft() for _ in range(count)]
        with torch.inference_mode(), self._attending:
            list(self._static.run(rows, self._between))
