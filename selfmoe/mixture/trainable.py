"""What is trained from outside: a composed model is frozen, and opens what is named.

Routers open the parameters of their gate. Experts open A and B of every layer, as PEFT trains them:
unscaled, in float32 beside a base of lower precision. They are parameters of the model then, under
the names ``….selfmoe_delta.factors_a.0``, the number being the expert's place in gate order; so
optimizers, state dicts and checkpoints of any trainer see them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from selfmoe.contracts.errors import CompositionError, NotSupportedError, unknown_name
from selfmoe.mixture.adapters import Factors
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.forward.packing import Packed
from selfmoe.mixture.forward.parts import Made, Views
from selfmoe.mixture.handle import Mixture

Part = Literal["router", "experts"]
Trainable = Part | Collection[Part] | None
_PARTS: tuple[Part, ...] = ("router", "experts")


def check_trainable(trainable: Trainable) -> tuple[Part, ...]:
    """Return the parts that are named, in a fixed order.

    Raises:
        UnknownNameError: If there is no such part.
    """
    named = [trainable] if isinstance(trainable, str) else list(trainable or ())
    for part in named:
        if part not in _PARTS:
            raise unknown_name("trainable part", str(part), _PARTS)
    return tuple(part for part in _PARTS if part in named)


def open_parts(
    mixture: Mixture, trainable: Trainable, factors: Mapping[str, Mapping[str, Factors]]
) -> None:
    """Freeze the model that a mixture is attached to, but for what is named; ``detach`` undoes it.

    Where experts are in the weights the model is one like any other, and nothing is frozen.

    Args:
        mixture: The mixture.
        trainable: ``router``, ``experts``, both, or nothing.
        factors: What each expert adds to each layer; asked for where experts are opened.

    Raises:
        CompositionError: If experts are to be trained, and not all of them are in memory.
        NotSupportedError: If the mixture has no such part.
    """
    parts = check_trainable(trainable)
    if "experts" in parts and mixture.live is not None:
        raise CompositionError("experts that stay in their files cannot be trained; leave out live")
    if mixture.gate is not None or deltas_of(mixture.model):
        _freeze(mixture)
    if "router" in parts:
        _open_router(mixture)
    if "experts" in parts:
        _open_experts(mixture, factors)


def _freeze(mixture: Mixture) -> None:
    for parameter in mixture.model.parameters():
        if parameter.requires_grad:
            mixture.on_detach(partial(parameter.requires_grad_, True))
            parameter.requires_grad_(False)


def _open_router(mixture: Mixture) -> None:
    name = mixture.composition.composer
    if mixture.gate is None:
        raise NotSupportedError(
            f"trainable='router': '{name}' merges its experts once; there is no router to train"
        )
    if not any(True for _ in mixture.gate.parameters()):
        raise NotSupportedError(
            f"trainable='router': router '{name}' has no parameters that a trainer could change"
        )
    mixture.gate.requires_grad_(True)


def _open_experts(mixture: Mixture, factors: Mapping[str, Mapping[str, Factors]]) -> None:
    deltas = deltas_of(mixture.model)
    if not deltas:
        raise NotSupportedError(
            f"trainable='experts': '{mixture.composition.composer}' has put its experts into the "
            "weights; call model.requires_grad_(True) to train those"
        )
    own = [factors[name] for name in mixture.experts]
    for name, delta in deltas.items():
        LearningDelta.open(delta, {i: own[i][name] for i, _ in delta.layout})
    for group in {delta.group for delta in deltas.values()}:
        group.packed = Fresh(group.parts)


class LearningDelta(RoutedDelta):
    """What several experts add to a layer while they are trained: computed from A and B each time.

    Attributes:
        factors_a: A of every expert, shape ``(rank, in)``, by its place in gate order.
        factors_b: B of every expert, shape ``(out, rank)``, unscaled.
        scales: What B is multiplied by.
    """

    factors_a: nn.ParameterDict
    factors_b: nn.ParameterDict
    scales: dict[str, float]

    @classmethod
    def open(cls, delta: RoutedDelta, factors: Mapping[int, Factors]) -> None:
        """Turn what several experts add to a layer into this.

        Args:
            delta: What they add.
            factors: The same by expert.
        """
        exact = torch.promote_types(delta.a.dtype, torch.float32)
        like = delta.a.new_empty(0, dtype=exact)
        for name in ("a", "b"):
            del delta._buffers[name]
        delta.__class__ = cls
        assert isinstance(delta, cls)
        delta.factors_a = nn.ParameterDict({str(i): f.a.to(like) for i, f in factors.items()})
        delta.factors_b = nn.ParameterDict({str(i): f.b.to(like) for i, f in factors.items()})
        delta.scales = {str(i): f.scale for i, f in factors.items()}

    @property
    def a(self) -> Tensor:  # type: ignore[override]
        """Return all A below each other, as they are now, shape ``(R, in)``."""
        return torch.cat(list(self.factors_a.values()))

    @property
    def b(self) -> Tensor:  # type: ignore[override]
        """Return all ``s B`` side by side, as they are now, shape ``(out, R)``."""
        scaled = [b.double() * self.scales[i] for i, b in self.factors_b.items()]
        whole = torch.cat(scaled, dim=1).to(self.factors_b[next(iter(self.scales))].dtype)
        return whole.t().contiguous().t()

    def learns(self) -> bool:
        """Return whether the experts are being trained."""
        return torch.compiler.is_compiling() or any(p.requires_grad for p in self.parameters())

    def factors(self, expert: int) -> Factors:
        """Return what an expert adds now, on the CPU."""
        i = str(expert)
        a, b = (p[i].detach().cpu() for p in (self.factors_a, self.factors_b))
        return Factors(a, b, self.scales[i])


class Fresh(Packed):
    """The factors of layers whose experts are trained; nothing is kept that could become old."""

    def made(self) -> Made:
        """Return nothing: what was made of factors that learn is old."""
        return Made()

    def views(self) -> Views:
        """Return the factors as they are now."""
        pairs = tuple((part.a, part.b) for part in self.parts)
        whole = torch.cat([a for a, _ in pairs])
        cut = tuple(
            {i: (a[span], b[:, span]) for i, span in part.spans.items()}
            for part, (a, b) in zip(self.parts, pairs, strict=True)
        )
        return Views(whole, tuple(b.t() for _, b in pairs), cut, pairs)


def deltas_of(model: nn.Module) -> dict[str, RoutedDelta]:
    """Return what experts add to the layers of a model, by the names of these."""
    found = (module for module in model.modules() if isinstance(module, RoutedDelta))
    return {delta.name: delta for delta in found}
