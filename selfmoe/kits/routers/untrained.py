"""Routers that are not trained: what their gate needs follows from experts, options and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from selfmoe.contracts.composer import ComposeContext, Router
from selfmoe.contracts.records import Composition

if TYPE_CHECKING:
    from torch import Tensor


class UntrainedRouter(Router):
    """A router that is composed without training, and extended by composing all experts anew."""

    def tensors(self, ctx: ComposeContext) -> Mapping[str, Tensor]:
        """Return what the gate is made of, by name, of any shapes (default: nothing)."""
        return {}

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the composition of the experts of ``ctx``; nothing is trained.

        Raises:
            CompositionError: If these options cannot work with so many experts.
        """
        start, tensors = self.composition(ctx), self.tensors(ctx)
        size = sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point())
        report = {"added_parameters": float(size), "trained_parameters": 0.0}
        return replace(start, tensors=tensors, report=report)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition of all experts of ``ctx``, which equals composing them anew.

        Raises:
            CompositionError: If the composition is another composer's, or its experts are not the
                first ones of ``ctx``.
        """
        from selfmoe.kits.routers.extending import check_extends

        check_extends(composition, ctx, self)
        return self.compose(ctx)
