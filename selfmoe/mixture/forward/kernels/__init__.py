"""Ways to compute what the experts of a linear layer add, chosen by shape.

With T tokens in a forward (batch × time), n experts of rank r and a layer from k to d features:

| kernel | how | chosen when |
|---|---|---|
| `stacked` | one product for the A side of all experts, shared by the layers that read the same \
input; α spread over the ranks; one product for the B side, added in place | no other is; always \
while autograd is on, off the CPU, and under `torch.compile` or `torch.autocast` |
| `native` | each expert for the tokens that use it, in C: one call for the layers that read the \
same input, nothing gathered | in float32 on the CPU, where a C compiler has built it, and T ≤ 64 \
or T n ≥ 2 × threads × the number of weights above zero |
| `single` | two matrix-vector products for each expert that a token uses, none for the others | \
T ≤ 16, and at most max(1, n / 2) weights are above zero |
| `grouped` | tokens sorted by expert once a block and gathered once an input; two products for \
each expert, on rows that lie together where no token uses two | in float32, \
n r (k + d) / (k d) > 0.04 for the layers of a block together, T ≥ 4 n, and at most a quarter of \
all weights is above zero |

`attach(…, kernel="grouped")` and `compose(…, kernel="grouped")` force one; where that one cannot
work (autograd or autocast is on; `native` without a compiler), `stacked` does.
It is chosen once for all layers that the same weights belong to. All are equal up to rounding.

A kernel is a module with three functions: ``fits`` says whether it can do the work, ``pays``
whether it is the one for this shape, ``run`` does it for a group of layers that read the same
input.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from selfmoe.contracts.errors import unknown_name
from selfmoe.mixture.forward.kernels import grouped, native, single, stacked
from selfmoe.mixture.forward.kernels.weights import AUTO, Kernel, Weights
from selfmoe.mixture.forward.parts import LayerGroup

__all__ = ["AUTO", "KERNELS", "Kernel", "check_kernel", "choose_kernel"]

KERNELS: Mapping[str, Kernel] = {
    "native": native,
    "single": single,
    "grouped": grouped,
    "stacked": stacked,
}
"""The kernels by name, in the order in which they are considered."""


def check_kernel(name: str) -> str:
    """Return the name of a kernel, or ``auto``.

    Raises:
        UnknownNameError: If there is no such kernel.
    """
    if name != AUTO and name not in KERNELS:
        raise unknown_name("kernel", name, (AUTO, *KERNELS))
    return name


def choose_kernel(name: str, group: LayerGroup, weights: Weights) -> Kernel:
    """Return the kernel for a group of layers; all that the same weights belong to get the same.

    Args:
        name: The kernel that is asked for, or ``auto``.
        group: Layers that read the same input.
        weights: The weights of the experts.
    """
    if torch.is_grad_enabled():
        return stacked
    if weights.kernel is None:
        torch_decides = torch.compiler.is_compiling() or _autocasts(weights)
        weights.kernel = stacked if torch_decides else _chosen(name, group, weights)
    return weights.kernel


def _autocasts(weights: Weights) -> bool:
    """Return whether layers choose a dtype by themselves, so that no input says which."""
    return torch.is_autocast_enabled(weights.given.device.type)


def _chosen(name: str, group: LayerGroup, weights: Weights) -> Kernel:
    if name != AUTO:
        return KERNELS[name] if KERNELS[name].fits(group, weights) else stacked
    for kernel in KERNELS.values():
        if kernel.pays(group, weights) and kernel.fits(group, weights):
            return kernel
    return stacked
