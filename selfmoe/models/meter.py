"""Counting what a base computes: tokens, by what was done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfmoe.store.costs import Tokens

if TYPE_CHECKING:
    from torch import nn


class Meter:
    """Counts the tokens that go through a model's embedding, whoever calls it and how.

    Attributes:
        tokens: What was counted so far.
        mixed: Whether some of it was for other cells than the one at work; whoever asks resets it.
    """

    def __init__(self) -> None:
        self.tokens, self.mixed = Tokens(), False

    def watch(self, model: Any) -> None:
        """Count what a model computes from now on; its weights and answers stay what they are."""
        embedding: nn.Module = model.get_input_embeddings()
        embedding.register_forward_pre_hook(self._count)

    def _count(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        import torch

        ids = inputs[0]
        read, written, learnt = self.tokens
        if torch.is_grad_enabled():
            learnt += ids.numel()
        elif ids.shape[-1] == 1:
            written += ids.numel()
        else:
            read += ids.numel()
        self.tokens = Tokens(read, written, learnt)
