"""The definition of a routed mixture, written as plainly as possible, to hold the runtime against.

``h = W0 x + sum_i alpha_i s_i B_i A_i x`` in every linear an expert changes, with alpha computed
from the residual stream that enters the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.mixture.adapters import Factors

Alpha = Callable[[int, Tensor], Tensor]
"""Block index and hidden states that enter it -> weights, shape ``(batch, time, n_experts)``."""


def topk_alpha(theta: Tensor, k: int) -> Alpha:
    """Return the gate of the paper: ``top-k(softmax(theta x / rms(x)))``, not renormalised.

    Args:
        theta: Shape ``(n_experts, width)``.
        k: Experts a token uses.
    """

    def alpha(block: int, x: Tensor) -> Tensor:
        p = torch.softmax(
            (x.float() / (x.float().pow(2).mean(-1, True) + 1e-6).sqrt()) @ theta.T, -1
        )
        return torch.where(p >= p.sort(-1).values[..., -k].unsqueeze(-1), p, 0.0)

    return alpha


@contextmanager
def naive_mixture(
    blocks: Sequence[nn.Module],
    linears: Mapping[str, nn.Module],
    experts: Sequence[Mapping[str, Factors]],
    alpha: Alpha,
    path: str,
) -> Iterator[list[Tensor]]:
    """Route by hooks, one expert after the other; not for gradient checkpointing.

    Args:
        blocks: The decoder blocks.
        linears: The linears by name.
        experts: What each adds.
        alpha: The gate.
        path: Name of the list of blocks.

    Yields:
        The weights of every block call so far, in order; shape ``(batch, time, n_experts)``.
    """
    weights: list[Tensor] = []
    handles = []
    for index, block in enumerate(blocks):

        def before(module: nn.Module, args: Any, kwargs: Any, index: int = index) -> None:
            weights.append(alpha(index, args[0] if args else kwargs["hidden_states"]))

        handles.append(block.register_forward_pre_hook(before, with_kwargs=True))
    for name in {site for expert in experts for site in expert}:
        assert name.startswith(f"{path}.")

        def after(module: nn.Module, args: Any, output: Tensor, name: str = name) -> Tensor:
            x, added = args[0], torch.zeros_like(output)
            for i, expert in enumerate(experts):
                if name in expert:
                    a, b, s = expert[name]
                    part = (x @ a.to(x).T) @ b.to(x).T
                    added = added + (weights[-1][..., i : i + 1].double() * s).to(x.dtype) * part
            return output + added

        handles.append(linears[name].register_forward_hook(after))
    try:
        yield weights
    finally:
        for handle in handles:
            handle.remove()
