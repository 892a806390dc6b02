"""Routing tiny models in tests: experts unlike one another, gates that are handed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import ComposeContext, Composer, Gate, Site, TokenInfo
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import Composition, Expert, ExpertRef
from selfmoe.mixture.adapters import factors_of
from selfmoe.models.structure import find_decoder, linears
from selfmoe.testing.family import LLAMA_TARGETS
from selfmoe.testing.models import random_adapter
from selfmoe.testing.reference import naive_mixture, topk_alpha


class Given(Composer):
    """A router whose gate is handed in.

    Args:
        gate: The gate; ``None`` makes it a static composition.
    """

    name = "given"
    kind = "router"

    def __init__(self, gate: Gate | None) -> None:
        super().__init__()
        self._gate = gate

    def compose(self, ctx: ComposeContext) -> Composition:
        """Refuse: there is nothing to learn.

        Raises:
            NotSupportedError: Always.
        """
        raise NotSupportedError("a gate that is handed in composes nothing")

    def gate(self, composition: Composition) -> Gate | None:
        """Return the gate that was handed in."""
        return self._gate


class Imposed(nn.Module):
    """A gate that returns weights of a list, one block call after the other.

    Args:
        weights: Each of shape ``(batch, time, n_experts)``.
    """

    site: Literal["block"] = "block"
    reads: Literal["nothing"] = "nothing"
    causal = True

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self._weights = list(weights)

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the next weights, shape ``(batch, time, n_experts)``."""
        return self._weights.pop(0)


class Constant(nn.Module):
    """A gate that gives every token the same weights.

    Args:
        weights: Shape ``(n_experts,)``.
    """

    site: Literal["token", "block", "linear"] = "block"
    reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"] = "hidden"
    causal = True

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights.detach().clone())

    def forward(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the weights of each token, shape ``(batch, time, n_experts)``."""
        weights: Tensor = self.get_buffer("weights")
        return weights.expand(*x.shape[:2], -1)


def tokens(batch: int = 2, time: int = 11, seed: int = 3) -> Tensor:
    """Return random bytes as token ids, shape ``(batch, time)``."""
    return torch.randint(0, 256, (batch, time), generator=torch.Generator().manual_seed(seed))


def logits(model: Any, ids: Tensor, mask: Tensor | None = None, **arguments: Any) -> Tensor:
    """Return a model's logits, shape ``(batch, time, vocabulary)``."""
    mask = torch.ones_like(ids) if mask is None else mask
    found: Tensor = model(input_ids=ids, attention_mask=mask, **arguments).logits
    return found


def random_theta(n: int, width: int = 32, std: float = 0.3) -> Tensor:
    """Return a random router map, shape ``(n, width)``."""
    return torch.randn(n, width, generator=torch.Generator().manual_seed(5)) * std


WEIGHTS = ("top1", "top2", "all", "uniform", "one", "zeros", "some zeros")
"""Kinds of ``random_weights``."""


def random_weights(kind: str, batch: int, time: int, n: int = 3, blocks: int = 3) -> list[Tensor]:
    """Return weights α for every block, each of shape ``(batch, time, n)``.

    Args:
        kind: One of ``WEIGHTS``: how many experts a token uses, all alike, the second alone, none,
            or every other token one.
        batch: Rows.
        time: Tokens of each.
        n: Experts.
        blocks: How many.
    """
    generator = torch.Generator().manual_seed(11)
    p = torch.rand(blocks, batch, time, n, generator=generator).softmax(-1)
    if kind in {"top1", "top2", "some zeros"}:
        least = p.topk(2 if kind == "top2" else 1).values[..., -1:]
        p = torch.where(p >= least, p, 0.0)
    if kind == "some zeros":
        p[:, :, ::2] = 0
    if kind == "uniform":
        p = torch.full_like(p, 1 / n)
    if kind in {"one", "zeros"}:
        p = torch.zeros_like(p)
    if kind == "one":
        p[..., 1] = 0.7
    return list(p)


def random_thetas(experts: Mapping[str, Expert], inputs: str) -> dict[str, Tensor]:
    """Return random tensors of the router ``topk``: one for each width that it reads, or the one.

    Each has shape ``(n_experts, width)``.
    """
    if inputs != "per_width":
        return {"theta": random_theta(len(experts))}
    wide = {f.a.shape[1] for expert in experts.values() for f in factors_of(expert).values()}
    return {f"theta_{width}": random_theta(len(experts), width) for width in sorted(wide)}


def refer(names: Iterable[str], **parts: Any) -> Composition:
    """Return a composition of experts that are given when it is attached.

    Args:
        names: The experts, in gate order.
        parts: ``options``, ``tensors`` and further parts of a ``Composition``.
    """
    refs = tuple(ExpertRef(name, "", "") for name in names)
    return Composition("given", **{"options": {}, "experts": refs, **parts})


def naive_topk(
    model: nn.Module, experts: Mapping[str, Expert], theta: Tensor, k: int
) -> AbstractContextManager[list[Tensor]]:
    """Return the naive mixture of the experts on a model, routed by the paper's gate.

    Args:
        model: The base.
        experts: The experts, in gate order.
        theta: Parameters of the gate, shape ``(n_experts, width)``.
        k: Experts a token uses.
    """
    decoder = find_decoder(model)
    factors = [factors_of(expert) for expert in experts.values()]
    return naive_mixture(
        list(decoder.blocks), linears(model), factors, topk_alpha(theta, k), decoder.path
    )


def even_experts(
    model: nn.Module, folder: Path, targets: Sequence[str] = LLAMA_TARGETS
) -> dict[str, Expert]:
    """Return three random experts on the same layers, of rank 2, 3 and 4."""
    return {
        name: Expert(
            name, random_adapter(model, folder / name, r=2 + i, seed=i, targets=list(targets))
        )
        for i, name in enumerate(("math", "coding", "facts"))
    }


def mixed_experts(
    model: nn.Module, folder: Path, targets: Sequence[str] = LLAMA_TARGETS
) -> dict[str, Expert]:
    """Return three experts that differ in rank, alpha, rsLoRA, patterns, layers and targets."""
    patterns = {"rank_pattern": {targets[0]: 6}, "alpha_pattern": {targets[-1]: 3}}
    some_layers = {"layers_to_transform": [0, 2]}
    paths = {
        "0": random_adapter(model, folder / "0", r=2, alpha=7, targets=targets[:2], seed=1),
        "mlp": random_adapter(
            model,
            folder / "mlp",
            r=5,
            targets=targets,
            seed=2,
            rslora=True,
            options=patterns,
        ),
        "math-v2": random_adapter(
            model, folder / "math-v2", r=3, targets=targets[1:], seed=3, options=some_layers
        ),
    }
    return {name: Expert(name, path) for name, path in paths.items()}
