"""Putting a composition on a model: in place, exact, and gone without a trace after ``detach``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import CompositionError, did_you_mean
from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.adapters import Factors, by_site, factors_of
from selfmoe.mixture.cache_check import check_cache, trial
from selfmoe.mixture.doors.guard import guard
from selfmoe.mixture.forward.blocks import Block
from selfmoe.mixture.forward.kernels import AUTO, check_kernel
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.forward.sharing import group_layers
from selfmoe.mixture.forward.shelf import Files, Shelf
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.names import GATE, HANDLE, check_free
from selfmoe.mixture.sites.coverage import refuse_unweighable
from selfmoe.mixture.surgery import Surgery
from selfmoe.models.structure import Decoder, find_decoder


def attach(
    model: nn.Module,
    composer: Composer,
    composition: Composition,
    experts: Mapping[str, Expert],
    *,
    blocks: str | None = None,
    kernel: str = AUTO,
    check: bool = True,
    keep_alive: object = None,
    live: int | None = None,
) -> Mixture:
    """Put a composition to work on a model, in place.

    Args:
        model: A causal language model of transformers; its own weights stay untouched or are put
            back by ``detach``.
        composer: The composer that made the composition.
        composition: What to attach.
        experts: At least the experts that a routed composition names.
        blocks: Name of the list of decoder blocks, for models where it cannot be told.
        kernel: How routed layers compute, see ``selfmoe.mixture.forward.kernels``; ``auto`` goes
            by shape.
        check: Read two tokens with a cache and without, and refuse the mixture where they differ.
        keep_alive: Something that must live as long as the mixture, such as a temporary folder.
        live: How many experts a routed block keeps in memory, at least 1; the others stay in their
            files until a token uses them. ``None``: all.

    Returns:
        The handle to record with and to detach; also ``model.mixture``.

    Raises:
        CompositionError: If composition, experts and model do not fit; the model is as before.
        UnknownNameError: If there is no such kernel.
    """
    check_kernel(kernel)
    check_free(model)
    if live is not None and live < 1:
        raise CompositionError(f"live is {live}; it must be at least 1")
    gate = composer.gate(composition)
    paths = {} if gate is None else {r.name: _path(r.name, experts) for r in composition.experts}
    paths |= composition.owned
    deltas = composer.deltas(composition) if gate is None else {}
    files = None if gate is None or live is None or live >= len(paths) else Files(paths, live)
    if files is not None:
        factors = [files.blank()] * files.live
    else:
        factors = [] if deltas else [factors_of(Expert(n, path)) for n, path in paths.items()]
    if gate is None and not (deltas or factors):
        raise CompositionError(
            f"'{composition.composer}' made a composition without gate, deltas or adapters"
        )
    surgery, decoder = Surgery(model), None if gate is None else find_decoder(model, blocks)
    mixture = Mixture(
        model,
        composition,
        tuple(paths),
        surgery,
        gate=gate,
        decoder=decoder,
        needs=composer.needs - {"data"},
        keep_alive=keep_alive,
        live=None if files is None else files.live,
    )
    if decoder is None:
        return _put_on(mixture, surgery, partial(_add, mixture, surgery, factors, deltas))
    route = partial(_route, mixture, surgery, decoder, factors, kernel, check=check, files=files)
    return _put_on(mixture, surgery, route)


def attach_expert(model: nn.Module, expert: Expert) -> Mixture:
    """Put a single expert to work on a model, in place; it always counts fully.

    Args:
        model: A causal language model of transformers.
        expert: The expert.

    Raises:
        CompositionError: If expert and model do not fit; the model is as before.
    """
    check_free(model)
    composition = Composition("expert", {}, (), owned={expert.name: expert.path})
    surgery = Surgery(model)
    mixture = Mixture(model, composition, (expert.name,), surgery)
    return _put_on(mixture, surgery, partial(_add, mixture, surgery, [factors_of(expert)], {}))


def _put_on(mixture: Mixture, surgery: Surgery, change: Callable[[], None]) -> Mixture:
    """Return a mixture that is finished, or leave the model as it was."""
    try:
        surgery.attribute(mixture.model, HANDLE, mixture)
        change()
        guard(mixture, surgery)
    except BaseException:
        surgery.undo()
        raise
    return mixture


def _add(
    mixture: Mixture,
    surgery: Surgery,
    factors: Sequence[Mapping[str, Factors]],
    deltas: Mapping[str, Tensor],
) -> None:
    """Add adapters with a constant weight of 1, or put ``W0 + delta`` in the place of weights.

    Args:
        mixture: Whose changes these are.
        surgery: Changes the model.
        factors: What each expert adds to each layer.
        deltas: By weight, shape ``(out, in)``.
    """
    sites = by_site(factors)
    group_layers([surgery.experts(site, sites[site], mixture.experts) for site in sites])
    for site in deltas:
        surgery.weight(site, deltas[site])


# --- routing --------------------------------------------------------------------------------------


def _route(
    mixture: Mixture,
    surgery: Surgery,
    decoder: Decoder,
    factors: Sequence[Mapping[str, Factors]],
    kernel: str,
    *,
    check: bool,
    files: Files | None = None,
) -> None:
    """Let the gate weigh the experts in every layer that one of them changes.

    Raises:
        CompositionError: If an expert changes another layer, or ``check`` is on and two tokens
            read with a cache are not what they are without one.
    """
    sites = by_site(factors)
    changed = {site: [mixture.experts[i] for i in parts] for site, parts in sites.items()}
    refuse_unweighable(mixture.model, decoder, changed)
    device = next(decoder.stack.parameters()).device
    surgery.attribute(mixture.model, GATE, mixture.gate.to(device).requires_grad_(False))
    states = [Block(i, mixture.gate, mixture.running, kernel) for i in range(len(decoder.blocks))]
    for block, state in zip(decoder.blocks, states, strict=True):
        surgery.block(block, state)
    layers: list[list[RoutedDelta]] = [[] for _ in states]
    for site, parts in sites.items():
        number = int(site.removeprefix(f"{decoder.path}.").partition(".")[0])
        layers[number].append(surgery.experts(site, parts, mixture.experts, states[number]))
    _group(decoder.stack, states, layers, device)
    if files is not None:
        for state, of_block in zip(states, layers, strict=True):
            state.shelf = Shelf(files, of_block)
    mixture.follow(decoder.stack)
    if check:
        check_cache(mixture, decoder.stack, states)


def _group(
    stack: nn.Module,
    states: Sequence[Block],
    layers: Sequence[Sequence[RoutedDelta]],
    device: torch.device,
) -> None:
    """Let layers of a block that read the same input, as one token shows, share what they can.

    Weights that differ by linear leave nothing to share.
    """
    if states[0].gate.site == "linear":
        for alone in layers:
            group_layers(alone)
        return
    token = torch.zeros(1, 1, dtype=torch.long, device=device)
    with ExitStack() as watching, trial(stack, device):
        seen = [watching.enter_context(state.watched()) for state in states]
        stack(input_ids=token, use_cache=False)
        for of_block, inputs in zip(layers, seen, strict=True):
            group_layers(of_block, inputs)


def _path(name: str, experts: Mapping[str, Expert]) -> Path:
    if name not in experts:
        known = ", ".join(experts) or "none"
        raise CompositionError(
            f"the composition needs expert '{name}'{did_you_mean(name, experts)}; given: {known}"
        )
    return experts[name].path
