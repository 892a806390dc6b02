"""Routers whose gate is a softmax over the experts, of one linear map of what it reads.

They differ in which of the probabilities they keep.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from selfmoe.contracts.composer import ComposeContext, Gate
from selfmoe.contracts.fitting import FitConfig
from selfmoe.kits.routers.learned import LearnedRouter
from selfmoe.kits.routers.weighing import WeightConfig

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.kits.routers.penalties import RoutingPenalty
    from selfmoe.kits.routers.softmax_gate import SoftmaxGate


class SoftmaxConfig(WeightConfig, FitConfig):
    """Options of routers with a softmax gate."""

    inputs: Literal["block_input", "embedding", "per_width", "per_linear"] = Field(
        "block_input", description="What the router reads, and how often."
    )
    temperature: float = Field(1.0, gt=0, description="Divides the logits; lower is sharper.")
    init_std: float = Field(
        0.02, gt=0, description="Standard deviation of the router's initial weights."
    )
    load_balance: float = Field(
        0.0,
        ge=0,
        description="Weight of the load-balance loss of Switch Transformers: 1 when all experts "
        "get as many response tokens as one another, at most their number.",
    )
    z_loss: float = Field(
        0.0, ge=0, description="Weight of the router z-loss of ST-MoE, which keeps logits small."
    )
    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")


class TopKConfig(SoftmaxConfig):
    """Options of routers whose softmax gate keeps the k most probable experts."""

    k: int = Field(1, ge=1, description="Experts a token uses.")


class SoftmaxRouter(LearnedRouter):
    """A learned router with ``softmax(theta x / temperature)``, of which it keeps a part.

    With ``block_input`` one linear map θ, shared by all blocks and without bias, reads the residual
    stream that enters a block, scaled to unit mean square in float32. ``embedding`` reads what
    enters the first block, ``per_width`` has one θ for each width of layer inputs, ``per_linear``
    one for each layer.

    Subclasses derive their ``Config`` from ``SoftmaxConfig``.
    """

    fixed = ("inputs",)

    @abstractmethod
    def softmax_gate(self, options: Any, tensors: Mapping[str, Tensor]) -> SoftmaxGate:
        """Return the gate with these options and these θ by name, shape ``(n_experts, width)``."""

    @abstractmethod
    def trains_all(self) -> bool:
        """Return whether a token uses all experts while the router learns."""

    def gate_of(self, options: Any, tensors: Mapping[str, Tensor]) -> Gate:
        """Return the gate with these options and θ by name, shape ``(n_experts, width)``."""
        return self.softmax_gate(options, tensors)

    def initial_tensors(self, ctx: ComposeContext) -> dict[str, Tensor]:
        """Return every θ that the experts of ``ctx`` need, shape ``(n_experts, width)``."""
        from selfmoe.kits.routers.softmax_gate import initial_tensors

        return initial_tensors(ctx, self.name, self.options)

    def penalty(self) -> RoutingPenalty | None:
        """Return the load-balance loss and the z-loss, if there are any."""
        from selfmoe.kits.routers.penalties import RoutingPenalty

        if self.options.load_balance or self.options.z_loss:
            return RoutingPenalty(self.options.load_balance, self.options.z_loss)
        return None

    def prepare(self, gate: SoftmaxGate) -> None:
        """Let a gate keep all probabilities while it learns, if it shall."""
        gate.keep_all = self.trains_all()
