"""Finding one's way in a decoder: its blocks and its linear layers, by structure, not by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from selfmoe.contracts.errors import CompositionError, did_you_mean


class Decoder(NamedTuple):
    """The part of a model that holds its decoder blocks.

    Attributes:
        stack: The module whose forward runs all blocks once.
        path: Name of the list of blocks within the model, such as ``model.layers``.
        blocks: The decoder blocks, first to last.
    """

    stack: nn.Module
    path: str
    blocks: nn.ModuleList


def find_decoder(model: nn.Module, blocks: str | None = None) -> Decoder:
    """Return where the decoder blocks of a model are.

    They are the one ``nn.ModuleList`` of length ``num_hidden_layers`` below ``base_model_prefix``.

    Args:
        model: A causal language model of transformers.
        blocks: Name of that list, for models where it cannot be told.

    Raises:
        CompositionError: If there are none or several; names the candidates.
    """
    candidates = dict(_block_lists(model))
    if blocks is not None:
        lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}
        if blocks not in lists:
            raise CompositionError(
                f"the model has no list of blocks at '{blocks}'{did_you_mean(blocks, lists)}\n"
                f"  Lists of modules: {', '.join(lists) or 'none'}."
            )
        candidates = {blocks: lists[blocks]}
    if len(candidates) != 1:
        found = ", ".join(candidates) if candidates else "none"
        raise CompositionError(
            f"cannot tell which modules of {type(model).__name__} are its decoder blocks: lists of "
            f"length num_hidden_layers: {found}. Name the right one with blocks='path.to.list'."
        )
    path, found_blocks = next(iter(candidates.items()))
    return Decoder(model.get_submodule(path.rpartition(".")[0]), path, found_blocks)


def _block_lists(model: nn.Module) -> Iterator[tuple[str, nn.ModuleList]]:
    depth = getattr(text_config(model), "num_hidden_layers", None)
    prefix = str(getattr(model, "base_model_prefix", ""))
    for name, module in model.named_modules():
        below = not hasattr(model, prefix) or name.startswith(f"{prefix}.")
        if isinstance(module, nn.ModuleList) and len(module) == depth and below:
            yield name, module


def text_config(model: nn.Module) -> Any:
    """Return the configuration of a model's text decoder, or ``None``."""
    config = getattr(model, "config", None)
    get = getattr(config, "get_text_config", None)
    return config if get is None else get()


def states_of(model: nn.Module) -> int:
    """Return how many numbers decoder blocks hand on for a token; 1 if the model does not say."""
    config = text_config(model)
    width, blocks = (getattr(config, key, 1) for key in ("hidden_size", "num_hidden_layers"))
    return int(width * blocks)


def own_states(block: nn.Module, states: Tensor) -> Tensor:
    """Return what enters a decoder block, one state a token, shape ``(batch, time, width)``.

    Where blocks hand on several streams of states, as AltUp does, it is the one they compute with.
    """
    if states.dim() == 3:
        return states
    stream = getattr(getattr(block, "config", None), "altup_active_idx", None)
    return states if stream is None else states[stream]


def final_width(model: Any) -> int:
    """Return the width of a base's final hidden states, which its head reads.

    An OPT whose embeddings are narrower than its blocks ends as narrow as they are.
    """
    head = model.get_output_embeddings()
    known = isinstance(head, (nn.Linear, Conv1D))
    return widths(head)[0] if known else int(text_config(model).hidden_size)


def linears(model: nn.Module) -> Mapping[str, nn.Module]:
    """Return every linear layer (``nn.Linear`` and its kin, ``Conv1D``) by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
    }


def widths(linear: nn.Module) -> tuple[int, int]:
    """Return input and output width of a linear layer."""
    if isinstance(linear, Conv1D):
        return int(linear.nx), int(linear.nf)
    assert isinstance(linear, nn.Linear)
    return linear.in_features, linear.out_features


def stores_transposed(linear: nn.Module) -> bool:
    """Return whether the layer keeps its weight as ``(in, out)``, as ``Conv1D`` does."""
    return isinstance(linear, Conv1D)
