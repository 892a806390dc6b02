"""Each expert only for the tokens that use it, in C: see `add.c`.

Tokens are sorted and weighed within the one call for a group, so that nothing is gathered or
copied and factors of experts without a token are not read.
"""

from __future__ import annotations

import torch
from torch import Tensor, float32

from selfmoe.mixture.forward.kernels import stacked
from selfmoe.mixture.forward.kernels.native.described import described, known
from selfmoe.mixture.forward.kernels.native.library import native
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.parts import LayerGroup
from selfmoe.models.watched import watched

FEW = 64
"""Tokens up to which it pays whatever they use."""


def fits(group: LayerGroup, weights: Weights) -> bool:
    """Return whether all is float32 on the CPU, and the operator is there."""
    ready = weights.given.dtype == float32 and weights.on_cpu and not watched()
    return ready and native().library is not None and known(group, weights.experts)


def pays(group: LayerGroup, weights: Weights) -> bool:
    """Return whether there are few tokens, or these leave most experts unused.

    It computes on one thread, at about half the speed of a large product.
    """
    if weights.tokens <= FEW:
        return weights.on_cpu
    dear = 2 * torch.get_num_threads()
    return weights.on_cpu and dear * weights.uses() <= weights.tokens * weights.experts


def run(group: LayerGroup, x: Tensor, weights: Weights) -> list[Tensor]:
    """Return the layers' outputs with the experts' part added.

    Args:
        group: Layers that read ``x``.
        x: Their input, shape ``(..., in)``.
        weights: The weights of the experts, of as many tokens as ``x`` has rows.

    Returns:
        One tensor a layer, shape ``(..., out)``.

    Raises:
        MemoryError: If there is no room to sort the tokens.
    """
    told = described(group, weights.experts)
    if told is None or x.dtype != float32:
        return stacked.run(group, x, weights)
    outputs, rows = [], []
    for part in group.parts:
        output = part.plain(x)
        if not output.is_contiguous():
            output = output.contiguous()
        outputs.append(output)
        rows.append(output.data_ptr())
    x, alpha = x.contiguous(), weights.given.contiguous()
    if not told.add(told.address, weights.tokens, x.data_ptr(), alpha.data_ptr(), told.row(*rows)):
        raise MemoryError("no room to sort tokens by their experts")
    return outputs
