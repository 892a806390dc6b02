"""What gates share: inputs at unit size, their mean over a prompt, logits, the k largest."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from selfmoe.contracts.composer import TokenInfo
from selfmoe.kits.routers.weighing import Weight


def at_unit_mean_square(x: Tensor) -> Tensor:
    """Return ``x / sqrt(mean x² + 1e-6)`` over the last dimension, in float32.

    Args:
        x: Shape ``(..., width)``.
    """
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def prompt_mean(x: Tensor, info: TokenInfo) -> Tensor:
    """Return the mean over each row's prompt at unit mean square, float32, ``(batch, width)``.

    All tokens but padding are the prompt where nobody says which are; of none the mean is 0.

    Args:
        x: What is read, shape ``(batch, time, width)``.
        info: Says which tokens are the prompt, and which are padding.
    """
    x, prompt = x.float(), info.prompt_mask
    if prompt is None:
        prompt = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if info.attention_mask is not None:
        prompt = prompt & info.attention_mask[:, -x.shape[1] :].bool()
    weights = prompt.to(x) / prompt.sum(-1, keepdim=True).clamp(min=1)
    return at_unit_mean_square((x * weights[..., None]).sum(1))


def unit_logits(theta: Tensor, x: Tensor) -> Tensor:
    """Return ``theta x̂``, x̂ being x at unit mean square, float32, shape ``(..., n_experts)``.

    The few logits are scaled rather than the many features.

    Args:
        theta: Shape ``(n_experts, width)``.
        x: Shape ``(..., width)``.
    """
    x = x.float()
    return linear(x, theta.float()) * unit_scale(x)


def unit_scale(x: Tensor) -> Tensor:
    """Return what scales x to unit mean square, float32, shape ``(..., 1)``.

    Args:
        x: Float32, shape ``(..., width)``.
    """
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale: Tensor = size.square().div_(x.shape[-1]).add_(1e-6).rsqrt_()
    return scale


def keep_largest(probabilities: Tensor, k: int) -> Tensor:
    """Return the probabilities with all but the k largest of each token set to 0.

    Args:
        probabilities: Shape ``(..., n_experts)``.
        k: How many stay; all, if there are no more.
    """
    if k >= probabilities.shape[-1]:
        return probabilities
    # For one both do the same, and max costs less.
    some = probabilities.max(-1, True) if k == 1 else probabilities.topk(k, -1)
    return torch.zeros_like(probabilities).scatter_(-1, some.indices, some.values)


def weigh_kept(kept: Tensor, weight: Weight) -> Tensor:
    """Return what the experts weigh whose probabilities were kept.

    At ``one`` the weights of a token sum to 1, or are 0 if it kept no expert. A weight that is
    alone is exactly 1, and by itself has no gradient; it passes on the one it is given as if it
    were the probability (straight-through: Bengio et al. 2013, https://arxiv.org/abs/1308.3432).

    Args:
        kept: Probabilities, 0 where an expert is not used, shape ``(..., n_experts)``; so is what
            comes back.
        weight: ``softmax`` leaves them as they are.
    """
    if weight == "softmax":
        return kept
    scaled = kept / kept.sum(-1, keepdim=True).clamp(min=1e-30)
    if not kept.requires_grad:
        return scaled
    alone = (kept > 0).sum(-1, keepdim=True) == 1
    return torch.where(alone, scaled.detach() + (kept - kept.detach()), scaled)
