"""Which linears are given just the tokens of their decoder block, seen in a few small forwards.

A router weighs the experts once for every token of a block. So it can weigh what they add to a
linear that is given these tokens, all of them and no others: in a prompt as in a step that reads
the past from a cache. The experts inside a sparse layer are given some tokens each; a projection of
latent attention is given all tokens of the cache in every step. None of this is told from names.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from selfmoe.models.structure import Decoder, linears, own_states, widths

OUTSIDE = "lies outside the decoder blocks"
ASIDE = "lies outside the decoder blocks and is not run on text"
PAST = "is applied anew to all cached tokens in every step, as latent attention does"
SOME = "is given other tokens than its block, as the experts of sparse layers are"
ELSEWHERE = "is run while another block runs, or none"
STREAMS = "lies in a block that is not given one state a token"
NO_PRODUCT = "gives something else than its product"
IDLE = "is not run, so a LoRA on it changes nothing"
PARTLY = "is not run in every kind of forward"
HARMLESS = (IDLE, PARTLY)
"""What lets PEFT's LoRA do nothing, at times or ever, and a routed one the same."""

_ROWS, _TIME = 2, 4


def examine(
    model: nn.Module, decoder: Decoder, *, training: bool = False
) -> Mapping[str, str | None]:
    """Return for every linear of a model why no router can reach it, or ``None`` where it can.

    The model is run on a few tokens, and left as it was; once for as long as it has these linears.

    Args:
        model: A causal language model.
        decoder: Where its blocks are.
        training: Whether it shall be reached in training mode too, where some models take the
            weights of several linears at once.
    """
    layers = linears(model)
    asked = decoder.path, training, tuple((name, id(layer)) for name, layer in layers.items())
    if model not in _KNOWN or _KNOWN[model][0] != asked:
        watch = _Watch(layers, decoder)
        with watch.hooked(), _undisturbed(decoder.stack):
            _run(watch, decoder.stack, training)
        _KNOWN[model] = asked, watch.verdicts()
    return _KNOWN[model][1]


_KNOWN: WeakKeyDictionary[nn.Module, tuple[object, Mapping[str, str | None]]] = WeakKeyDictionary()


class _Watch:
    """Notes what the linears of the blocks are given."""

    def __init__(self, layers: Mapping[str, nn.Module], decoder: Decoder) -> None:
        self._layers, self._decoder = layers, decoder
        self._block = {name: _number(name, decoder) for name in layers}
        self._seen: dict[str, list[set[str | None]]] = defaultdict(list)
        self._running: int | None = None
        self._tokens, self._past, self._whole = (0, 0), 0, True

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Watch while the context lasts."""
        with ExitStack() as stack:
            for number, block in enumerate(self._decoder.blocks):
                enter, leave = partial(self._enter, number), self._leave
                stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
                stack.callback(block.register_forward_hook(leave, always_call=True).remove)
            for name, layer in self._layers.items():
                stack.callback(layer.register_forward_hook(partial(self._note, name)).remove)
            yield

    def begin(self, tokens: tuple[int, int], past: int) -> None:
        """Say what the next forward is given: its rows and tokens a row, and those before them."""
        self._tokens, self._past, self._running = tokens, past, None
        for name in self._layers:
            self._seen[name].append(set())

    def verdicts(self) -> dict[str, str | None]:
        """Return what came of it, by linear."""
        found = {name: self._verdict(name) for name in self._layers}
        for alike in _alike(found):
            if any(found[name] == SOME for name in alike):
                found |= dict.fromkeys(alike, SOME)
        return found

    def _verdict(self, name: str) -> str | None:
        forwards = self._seen[name]
        if self._block[name] is None:
            return OUTSIDE if any(forwards) else ASIDE
        wrong = [reason for seen in forwards for reason in seen if reason is not None]
        if wrong:
            return min(wrong, key=_ORDER.index)
        if not all(forwards):
            return PARTLY if any(forwards) else IDLE
        return None

    def _enter(self, number: int, block: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        states = own_states(block, args[0] if args else kwargs["hidden_states"])
        self._running, self._whole = number, tuple(states.shape[:-1]) == self._tokens

    def _leave(self, *_: Any) -> None:
        self._running = None

    def _note(self, name: str, layer: nn.Module, args: Any, output: Any) -> None:
        self._seen[name][-1].add(self._judge(name, widths(layer), args[0], output))

    def _judge(self, name: str, sizes: tuple[int, int], x: Tensor, output: Any) -> str | None:
        rows, time = self._tokens
        if self._running != self._block[name] is not None:
            return ELSEWHERE
        if not isinstance(output, Tensor) or output.shape != (*x.shape[:-1], sizes[1]):
            return NO_PRODUCT
        if not self._whole:
            return STREAMS
        given = tuple(size for size in x.shape[:-1] if size != 1)
        if self._past and x.numel() == rows * (self._past + time) * sizes[0]:
            return PAST
        fits = given in ((rows * time,), tuple(size for size in (rows, time) if size != 1))
        return None if fits else SOME


_ORDER = (ELSEWHERE, NO_PRODUCT, STREAMS, PAST, SOME)


def _number(name: str, decoder: Decoder) -> int | None:
    """Return the number of the block that a module lies in, or ``None``."""
    inside = name.removeprefix(f"{decoder.path}.")
    return None if inside == name else int(inside.partition(".")[0])


def _alike(names: Iterable[str]) -> Iterable[list[str]]:
    """Return the linears that lie in the same places of the items of one list, block by block."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        *lists, last = re.split(r"\.\d+(?=\.|$)", name)
        if len(lists) > 1:  # the first number is the block's
            first = re.match(r".*?\.\d+(?=\.|$)", name)
            assert first is not None
            groups[f"{first[0]} {lists} {last}"].append(name)
    return groups.values()


def _run(watch: _Watch, stack: nn.Module, training: bool) -> None:
    """Let the stack read two prompts, one that it caches, one token more, and some as in training.

    One row is read with a cache: not every family can read several.
    """
    ids = torch.arange(_ROWS * _TIME, device=next(stack.parameters()).device).view(_ROWS, _TIME)
    watch.begin((_ROWS, _TIME), 0)
    stack(input_ids=ids, use_cache=False)
    with suppress(Exception):  # a base that cannot be read with a cache says so where that is tried
        watch.begin((1, _TIME - 1), 0)
        output = stack(input_ids=ids[:1, :-1], use_cache=True)
        if kept := _kept(stack, output):
            watch.begin((1, 1), _TIME - 1)
            stack(input_ids=ids[:1, -1:], use_cache=True, **kept)
    if training:
        stack.train()
        watch.begin((_ROWS, _TIME), 0)
        stack(input_ids=ids, use_cache=False)


def _kept(stack: nn.Module, output: Any) -> dict[str, Any]:
    """Return what a stack gave back that it takes in the next step, by whatever names."""
    names = inspect.signature(stack.forward).parameters
    given = output if isinstance(output, Mapping) else {}
    return {name: given[name] for name in names if given.get(name) is not None}


@contextmanager
def _undisturbed(stack: nn.Module) -> Iterator[None]:
    """Run it in eval mode and without gradients; put modes and random numbers back at the end."""
    training = {module: module.training for module in stack.modules()}
    device = next(stack.parameters()).device
    stack.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, mode in training.items():
            module.training = mode
