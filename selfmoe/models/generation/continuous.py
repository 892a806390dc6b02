"""Generation with rows that come and go, for decoders of attention alone.

What several prompts begin with is read once. Prompts are read in groups, all but their last token;
then every step gives each running row one more token. Rows that have ended leave, others take their
place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from selfmoe.models.caches import cache_name
from selfmoe.models.generation.drawing import next_tokens
from selfmoe.models.generation.prefixes import groups
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.slots import alike, layers_of, slots_for, spread
from selfmoe.models.tokens import side_by_side

_AT_ONCE = {"cpu": 1024}
"""Tokens of prompts that are read in one forward: what caches hold; on other devices 8192."""
_SLACK = 64
"""Columns that rows can grow before everything is moved towards the first one."""


About = Callable[[Sequence[Row], Sequence[int] | None], AbstractContextManager[Any]]
"""Is told whose rows a forward reads, and how many tokens of each, from the first column on
(``None``: those that its mask says); lasts as long as the forward does."""


def nobody(rows: Sequence[Row], tokens: Sequence[int] | None) -> AbstractContextManager[None]:
    """Tell nobody whose rows a forward reads."""
    return nullcontext()


class Continuous:
    """A batch whose rows come and go.

    Args:
        model: The model; see ``ability.comes_and_goes``.
        pad: A token that pads.
        slots: Most rows at once.
        max_new_tokens: Longest continuation.
        about: Tells whoever listens to the model whose rows a forward reads, while it does.
    """

    def __init__(
        self,
        model: Any,
        pad: int,
        slots: int,
        max_new_tokens: int,
        about: About = nobody,
    ) -> None:
        self._forward = Forward(model)
        self._pad, self._slots, self._new = pad, slots, max_new_tokens
        self._about = about
        self._live: list[Row] = []
        self._cache: Any = None
        self._prefix: tuple[tuple[int, ...], Any] = ((), None)
        self._origin = self._last = 0

    def run(self, rows: Sequence[Row], tell: Callable[[], None]) -> Iterator[Row]:
        """Yield every row when it has ended.

        Args:
            rows: With prompts of two tokens or more, in the order in which they are read, see
                ``ordered``.
            tell: Is called after every step.
        """
        waiting = self.begin(rows)
        least = max(1, self._slots // 4)
        while waiting or self._live:
            free = self._slots - len(self._live)
            if waiting and (free >= least or not self._live):
                self.admit(waiting, free)
            else:
                ended = self.go_on()
                tell()
                yield from ended

    def begin(self, rows: Sequence[Row]) -> deque[Row]:
        """Return rows as they wait; none of them runs yet."""
        self._origin = self._last = max(len(row.prompt) for row in rows)
        return deque(rows)

    # --- coming -----------------------------------------------------------------------------------

    def admit(self, waiting: deque[Row], free: int) -> None:
        """Read the next prompts and let them run; they begin with the same tokens."""
        rows = self._next(waiting, free)
        shared = rows[0].prompt[: rows[0].shared]
        self._place(rows, self._read(rows, tuple(shared)))

    def _next(self, waiting: deque[Row], free: int) -> list[Row]:
        """Take the rows to read next; they are in the order of ``ordered``."""
        rows = [waiting.popleft()]
        shared = rows[0].prompt[: rows[0].shared]
        longest = len(rows[0].prompt) - len(shared)
        most = at_once(self._forward.device) // longest
        while waiting and len(rows) < min(free, most):
            if waiting[0].prompt[: waiting[0].shared] != shared:
                break
            rows.append(waiting.popleft())
        return rows

    def _read(self, rows: Sequence[Row], shared: tuple[int, ...]) -> Any:
        """Return a cache of the prompts, all but their last tokens, each row from column 0 on."""
        rest = [row.prompt[len(shared) : -1] or row.prompt[len(shared) :] for row in rows]
        columns = max(map(len, rest))
        if shared:
            cache = spread(self._known(shared), len(rows), len(shared) + columns)
        else:
            cache = self._forward.cache(columns)
        if columns:
            ids, _ = side_by_side(rest, self._pad, "right")  # no token sees what is behind it
            places = torch.arange(len(shared), len(shared) + columns).expand(len(rows), -1)
            with self._about(rows, [len(row.prompt) - len(shared) - 1 for row in rows]):
                self._forward.read(ids, places, cache)
        return cache

    def _known(self, shared: tuple[int, ...]) -> Any:
        """Return a cache of one row of tokens that several prompts begin with."""
        if self._prefix[0] != shared:
            cache = self._forward.cache(len(shared))
            ids = torch.tensor([shared])
            self._forward.read(ids, torch.arange(len(shared))[None], cache)
            self._prefix = (shared, cache)
        return self._prefix[1]

    def _place(self, rows: Sequence[Row], read: Any) -> None:
        """Let rows that were read run, ending with the others' last column."""
        if self._cache is None:
            self._cache = alike(read, self._slots, self._columns(), self._last)
        first = len(self._live)
        for mine, theirs in zip(layers_of(self._cache), layers_of(read), strict=True):
            for number, row in enumerate(rows):
                mine.take(theirs, number, first + number, len(row.prompt) - 1)
        for row in rows:
            row.start = self._last - len(row.prompt) + 1
        self._live += rows
        self._settle()

    # --- going on ---------------------------------------------------------------------------------

    def go_on(self) -> list[Row]:
        """Let every running row write one token; return those that have ended, which leave."""
        self._write(next_tokens(self._live, self.logits()))
        return list(self._leave())

    def logits(self) -> Tensor:
        """Read the last token of every running row; return logits, shape ``(rows, vocabulary)``."""
        self._make_room()
        ids = [[row.new[-1] if row.new else row.prompt[-1]] for row in self._live]
        starts = torch.tensor([[row.start] for row in self._live])
        mask = (torch.arange(int(starts.min()), self._last + 1) >= starts).long()
        with self._about(self._live, [1] * len(self._live)):
            logits = self._forward.step(torch.tensor(ids), mask, self._last - starts, self._cache)
        self._last += 1
        return logits

    def _write(self, tokens: Tensor) -> None:
        """Let every running row write its token; the shape of tokens is ``(rows,)``."""
        for row, token in zip(self._live, tokens.tolist(), strict=True):
            row.write(token)

    def _columns(self) -> int:
        """Return how many columns there are."""
        return self._origin + self._new + _SLACK

    def _make_room(self) -> None:
        """Move all rows towards the first column if there is none left behind the last."""
        if self._last >= self._columns():
            columns = min(row.start for row in self._live)
            self._shift(min(columns, self._last - self._origin))

    def _shift(self, columns: int) -> None:
        """Move all rows towards the first column, or away from it where the number is below 0."""
        for layer in layers_of(self._cache):
            layer.shift(columns)
        for row in self._live:
            row.start -= columns
        self._last -= columns

    # --- leaving ----------------------------------------------------------------------------------

    def _leave(self) -> Iterator[Row]:
        """Take out and yield the rows that have ended."""
        for place in reversed(range(len(self._live))):
            row = self._live[place]
            if not row.ended:
                continue
            last = self._live.pop()
            if last is not row:
                self._live[place] = last
                for layer in layers_of(self._cache):
                    layer.move(len(self._live), place)
            yield row
        if self._live:
            self._settle()

    def _settle(self) -> None:
        """Tell the cache which rows and columns are in use."""
        first = min(row.start for row in self._live)
        for layer in layers_of(self._cache):
            layer.rows, layer.first = len(self._live), first


class Forward:
    """Forwards of a model with a cache of slots: through prompts, and through one token a row.

    Args:
        model: A causal language model of transformers.
    """

    def __init__(self, model: Any) -> None:
        self._model, self._cache = model, cache_name(model) or "past_key_values"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self._model.device)

    def cache(self, columns: int) -> Any:
        """Return an empty cache with room for so many columns."""
        return slots_for(self._model, columns)

    def read(self, ids: Tensor, places: Tensor, cache: Any) -> None:
        """Read tokens without padding in front of them; no logits are computed.

        Args:
            ids: Tokens, shape ``(batch, time)``.
            places: The tokens' positions, shape ``(batch, time)``.
            cache: What came before; it is written to.
        """
        nothing = torch.empty(0, dtype=torch.long, device=self.device)
        self._run(ids, None, places, cache, nothing)

    def step(self, ids: Tensor, mask: Tensor, places: Tensor, cache: Any) -> Tensor:
        """Return the logits behind one token a row, shape ``(batch, vocabulary)``.

        Args:
            ids: Tokens, shape ``(batch, 1)``.
            mask: 1 on all columns that count, those of the cache first, ``(batch, columns)``.
            places: The tokens' positions, shape ``(batch, 1)``.
            cache: What came before; it is written to.
        """
        logits: Tensor = self._run(ids, mask.to(self.device), places, cache, 1)[:, -1]
        return logits

    def _run(
        self, ids: Tensor, mask: Tensor | None, places: Tensor, cache: Any, kept: int | Tensor
    ) -> Tensor:
        logits: Tensor = self._model(
            input_ids=ids.to(self.device),
            attention_mask=mask,
            position_ids=places.to(self.device),
            use_cache=True,
            logits_to_keep=kept,
            **{self._cache: cache},
        ).logits
        return logits


def at_once(device: torch.device) -> int:
    """Return how many tokens of prompts are read in one forward."""
    return _AT_ONCE.get(device.type, 8192)


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Return rows in the order in which they are read: by what they share, the longest first."""
    order: list[Row] = []
    for group in groups([row.prompt[:-1] for row in rows]):
        members = [rows[number] for number in group.rows]
        for row in members:
            row.shared = group.prefix
        order += sorted(members, key=lambda row: -len(row.prompt))
    return order
