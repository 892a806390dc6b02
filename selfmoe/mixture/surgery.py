"""Changing a model so that every change can be taken back, bit for bit."""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.contracts.errors import CompositionError, did_you_mean
from selfmoe.mixture.adapters import Factors
from selfmoe.mixture.forward.blocks import STATE, Block, routed_class
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.names import DELTA
from selfmoe.mixture.sites.compatibility import check_site, check_widths
from selfmoe.models.structure import linears, stores_transposed, text_config, widths


class Surgery:
    """Changes to one model, each with its way back.

    Args:
        model: What is changed.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._linears = linears(model)
        self._widths = {name: widths(layer) for name, layer in self._linears.items()}
        self._undo: list[Callable[[], object]] = []

    def undo(self) -> None:
        """Take all changes back, the last one first; does nothing the second time."""
        while self._undo:
            self._undo.pop()()

    def on_undo(self, step: Callable[[], object]) -> None:
        """Let ``step`` be part of taking back."""
        self._undo.append(step)

    def attribute(self, module: nn.Module, name: str, value: Any) -> None:
        """Give a module an attribute; an ``nn.Module`` becomes its child."""
        setattr(module, name, value)
        self.on_undo(partial(delattr, module, name))

    def block(self, block: nn.Module, state: Block) -> None:
        """Make a decoder block route.

        Raises:
            CompositionError: If its forward has been replaced by another library.
        """
        if "forward" in vars(block):
            raise CompositionError(
                "the forward of the decoder blocks has been replaced, as accelerate does for "
                "models spread over devices; load the model onto one device to route its tokens"
            )
        cls = type(block)
        self.attribute(block, STATE, state)
        routed: Any = routed_class(cls)  # type: ignore[arg-type]
        block.__class__ = routed
        copyreg.pickle(routed, _as_routed)
        self.on_undo(partial(setattr, block, "__class__", cls))

    def forward(self, module: nn.Module, forward: Callable[..., Any]) -> None:
        """Let a module run another forward, which costs less than a hook."""
        self.method(module, "forward", forward)

    def method(self, module: nn.Module, name: str, method: Callable[..., Any]) -> None:
        """Let a module do something else in the place of one of its methods."""
        before = vars(module).get(name)
        setattr(module, name, method)
        back = partial(delattr, module, name)
        self.on_undo(back if before is None else partial(setattr, module, name, before))

    def experts(
        self,
        site: str,
        parts: Mapping[int, Factors],
        names: Sequence[str],
        block: Block | None = None,
    ) -> RoutedDelta:
        """Add what several experts contribute to a linear layer, weighed by its block's gate.

        Args:
            site: Name of the layer.
            parts: What each adds, by index in gate order.
            names: Of all experts, in gate order.
            block: The routed block it lies in; ``None``: each expert counts fully.

        Returns:
            What is added; it has no group yet.

        Raises:
            CompositionError: If there is no such layer, or it has other widths.
        """
        for i, part in parts.items():
            check_site(site, self._widths, part, names[i])
        layer = self._linears[site]
        like = _like(next(layer.parameters()), self._model)
        delta = RoutedDelta(parts, like, _forward(layer), site, block)
        self.attribute(layer, DELTA, delta)
        self.forward(layer, delta.routed)
        return delta

    def weight(self, site: str, delta: Tensor) -> None:
        """Put ``W0 + delta`` in the place of a weight; ``delta`` has shape ``(out, in)``.

        Added in float32 and rounded to the weight's dtype once.

        Raises:
            CompositionError: If there is no such layer, it has other widths, or is quantised.
        """
        layer = self._linear(site)
        old = layer._parameters["weight"]
        assert old is not None
        check_widths(site, widths(layer), (delta.shape[1], delta.shape[0]))
        if not old.is_floating_point():
            raise CompositionError(f"{site}: weight deltas cannot be added to {old.dtype}")
        exact = torch.promote_types(old.dtype, torch.float32)
        delta = (delta.t() if stores_transposed(layer) else delta).to(old.device, exact)
        new = (old.detach().to(exact) + delta).to(old.dtype)
        layer._parameters["weight"] = nn.Parameter(new, requires_grad=old.requires_grad)
        self.on_undo(partial(_restore_weight, layer, old))

    def _linear(self, site: str) -> nn.Module:
        if site not in self._linears:
            raise CompositionError(
                f"the model has no linear layer '{site}'{did_you_mean(site, self._linears)}; was "
                "the expert trained on another architecture?"
            )
        return self._linears[site]


def _as_routed(block: Any) -> tuple[Any, ...]:
    """Return what pickle makes a routing block from: its class is found by that of the model."""
    return _routed_of, (type(block).__base__,), block.__getstate__()


def _routed_of(cls: Any) -> nn.Module:
    routed = routed_class(cls)
    return routed.__new__(routed)


def _forward(module: nn.Module) -> Callable[..., Tensor]:
    """Return the forward of a layer; of a plain ``nn.Linear`` one that looks up no attributes.

    That costs as much as a product of a decoded token with a small matrix.
    """
    plain = type(module) is nn.Linear and "weight" in module._parameters
    if plain and "forward" not in vars(module):
        return partial(_linear, module._parameters)
    return module.forward


def _linear(parameters: Mapping[str, Any], x: Tensor) -> Tensor:
    return linear(x, parameters["weight"], parameters["bias"])


def _restore_weight(layer: nn.Module, old: nn.Parameter) -> None:
    now = layer._parameters["weight"]
    assert now is not None
    old.data = old.data.to(now.device)
    layer._parameters["weight"] = old


def _like(weight: Tensor, model: nn.Module) -> Tensor:
    """Return a tensor of the device and dtype to compute in beside a weight, maybe quantised."""
    dtype = getattr(text_config(model), "dtype", None) or torch.float32
    return weight if weight.is_floating_point() else weight.new_empty(0, dtype=dtype)
