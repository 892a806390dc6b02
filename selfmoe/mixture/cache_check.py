"""Does a mixture read two tokens with a cache as without one? Asked once, when it is attached.

A base, or a release of transformers, may keep its past where nobody follows it. Then every cached
step would begin a new sequence for the router, and nothing would say so. A gate that weighs all
experts alike stands in for the router's own: what counts is what a gate is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import Gate, Site, TokenInfo
from selfmoe.contracts.errors import CompositionError, SelfmoeError
from selfmoe.mixture.forward.blocks import Block
from selfmoe.mixture.forward.caches import cache_in, cannot_follow, unknown_in
from selfmoe.mixture.handle import Mixture
from selfmoe.models.caches import cache_name

_PAIRS = ((1, 2), (5, 3), (4, 7))
"""Tokens to try: a sparse base may route one pair the other way for a difference of rounding."""
_TOLERANCE = 1e-3
_COARSE = 0.1  # of numbers with fewer bits than float32


class GateInput(NamedTuple):
    """What a gate is told in one call.

    Attributes:
        x: Shape ``(1, time, width)``.
        positions: Shape ``(1, time)``, or ``None``.
        prompt: Shape ``(1, time)``, or ``None``.
    """

    x: Tensor
    positions: Tensor | None
    prompt: Tensor | None

    def at(self, place: int) -> GateInput:
        """Return what was told of one token."""
        return GateInput(*(None if part is None else part[:, [place]] for part in self))  # type: ignore[arg-type]


class Witness(nn.Module):
    """A gate that gives experts the same weight, and keeps what it is told.

    Args:
        gate: The gate it stands in for.
        experts: How many there are.
        used: How many of these get any.
    """

    def __init__(self, gate: Gate, experts: int, used: int) -> None:
        super().__init__()
        self.site, self.reads, self.causal = gate.site, gate.reads, gate.causal
        self.experts, self.used = experts, used
        self.heard: list[GateInput] = []

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the same for the first experts, 0 for the others, ``(batch, time, n)``.

        Args:
            x: What the gate reads, shape ``(batch, time, width)``.
            where: Which block asks.
            info: The tokens.
        """
        self.heard.append(GateInput(x, info.position_ids, info.prompt_mask))
        alpha = x.new_zeros((*x.shape[:2], self.experts), dtype=torch.float32)
        alpha[..., : self.used] = 1 / self.used
        return alpha


@contextmanager
def trial(stack: nn.Module, device: torch.device) -> Iterator[None]:
    """Let forwards within leave no trace: no gradients, no dropout, no random number used up."""
    training = [module for module in stack.modules() if module.training]
    random = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=random):
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True


def check_cache(mixture: Mixture, stack: nn.Module, states: Sequence[Block]) -> None:
    """Refuse a mixture that reads two tokens with a cache otherwise than without one.

    Args:
        mixture: It is attached, with one of ``states`` for each decoder block.
        stack: The module whose forward runs all blocks once.
        states: What asks the gate.

    Raises:
        CompositionError: If what the gate is told, or what comes out, is not the same.
        NotSupportedError: If the router keeps state with the cache and cannot with this one.
    """
    device = next(stack.parameters()).device
    if device.type == "meta":
        return
    gate = states[0].gate
    try:
        with trial(stack, device):
            differences: list[str] = []
            for pair in _PAIRS:
                ids = torch.tensor([pair], device=device)
                differs = _difference(mixture, stack, states, ids, gate)
                if differs is None:
                    return
                differences.append(differs)
    finally:
        for state in states:
            state.gate = gate
    raise CompositionError(
        f"'{mixture.composition.composer}' on {type(stack).__name__}: the second of two tokens "
        f"read with a cache is not what it is without one ({differences[0]}). selfmoe "
        f"{version('selfmoe')} may not know how transformers {version('transformers')} keeps the "
        "past of this model; install versions that 'selfmoe doctor' calls tested, or attach with "
        "check=False and run the model with use_cache=False"
    )


def _difference(
    mixture: Mixture, stack: nn.Module, states: Sequence[Block], ids: Tensor, gate: Gate
) -> str | None:
    """Return what differs between reading two tokens at once and one by one, if anything."""
    prompt = torch.tensor([[True, False]], device=ids.device)
    reader = _Reader(mixture, stack, states, gate)
    with mixture.annotate(prompt_mask=prompt, domain=mixture.experts[:1]):
        whole, at_once = reader.read(ids, ids, {"use_cache": False})
        try:
            first, one = reader.read(ids[:, :1], ids[:, :1], {"use_cache": True})
            cache = cache_in(first)
            if cache is None:
                if mixture.memory.keeps and (names := unknown_in(first)):
                    raise cannot_follow(", ".join(names))
                return None  # a model without a cache
            how = {cache_name(stack) or "past_key_values": cache, "use_cache": True}
            second, two = reader.read(ids[:, 1:], ids, how)
        except SelfmoeError:
            raise
        except Exception:
            return None  # the base cannot be read so, and says it whenever it is tried
    parts = [_told(at_once, one, 0), "" if reader.once else _told(at_once, two, 1)]
    if reader.once and two:
        parts.append("the router is asked again")
    parts.append(_apart("its output", second[0], whole[0][:, 1:]))
    return next((part for part in parts if part), None)


class _Reader:
    """Runs forwards with a witness in the place of the gate."""

    def __init__(
        self, mixture: Mixture, stack: nn.Module, states: Sequence[Block], gate: Gate
    ) -> None:
        self._stack, self._states, self._gate = stack, states, gate
        self._experts, shelf = len(mixture.experts), states[0].shelf
        self._used = self._experts if shelf is None else shelf.live
        self.once = gate.site == "sequence"

    def read(
        self, ids: Tensor, so_far: Tensor, how: Mapping[str, Any]
    ) -> tuple[Any, list[GateInput]]:
        """Return the stack's output and what the gate is told on the way."""
        witness = Witness(self._gate, self._experts, self._used)
        for state in self._states:
            state.gate = witness
        mask = torch.ones_like(so_far)
        return self._stack(input_ids=ids, attention_mask=mask, **how), witness.heard


def _told(whole: Sequence[GateInput], part: Sequence[GateInput], place: int) -> str:
    """Return what a gate is told otherwise of a token that is read alone."""
    if len(whole) != len(part):
        return f"the router is asked {len(part)} times, not {len(whole)}"
    for all_at_once, alone in zip(whole, part, strict=True):
        expected, found = all_at_once.at(place), alone.at(0)
        for what, one, other in (
            ("the position", found.positions, expected.positions),
            ("what is prompt", found.prompt, expected.prompt),
        ):
            if one is not None and other is not None and not torch.equal(one, other):
                return f"{what} that the router is told"
        if apart := _apart("what the router reads", found.x, expected.x):
            return apart
    return ""


def _apart(what: str, found: Tensor, expected: Tensor) -> str:
    """Return that two tensors differ by more than rounding, or nothing."""
    exact = found.dtype in (torch.float32, torch.float64)
    off = (found.float() - expected.float()).abs().max()
    relative = float(off / expected.float().abs().max().clamp(min=1e-12))
    tolerance = _TOLERANCE if exact else _COARSE
    return "" if relative <= tolerance else f"{what} is off by {relative:.2g} of its size"
