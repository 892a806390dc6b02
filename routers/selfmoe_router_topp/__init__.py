"""As many experts as it takes: the most probable ones, until their probabilities reach p."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from selfmoe.contracts import Router, hookimpl
from selfmoe.kits.routers import SoftmaxConfig, SoftmaxRouter

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe_router_topp.gate import TopPGate

SELFMOE_API = 1


class TopP(SoftmaxRouter):
    """Learned router: as many experts as a token needs for their probabilities to reach p.

    The smallest set of the most probable experts whose probabilities add up to p or more; one at
    least. A token that is sure of its expert takes it alone, one in doubt takes several. Otherwise
    like ``topk``: the softmax of one linear map θ of the residual stream that enters a block, or of
    the other ``inputs``.
    """

    name = "topp"
    label = "topp"
    reference_url = "https://arxiv.org/abs/2403.07652"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"weight": "softmax"}}

    class Config(SoftmaxConfig):
        """Options of the top-p router."""

        p: float = Field(0.75, gt=0, le=1, description="Probability that the experts reach.")
        max_k: int | None = Field(
            None, ge=1, description="Experts a token uses at the most. Default: all."
        )
        train_p: Literal["all", "p"] = Field(
            "all",
            description="Experts a token uses while the router learns: all, or as p and max_k say.",
        )

    def softmax_gate(self, options: Any, tensors: Mapping[str, Tensor]) -> TopPGate:
        """Return the gate with these options and these θ by name, shape ``(n_experts, width)``."""
        from selfmoe_router_topp.gate import TopPGate

        return TopPGate(options, tensors)

    def trains_all(self) -> bool:
        """Return whether a token uses all experts while the router learns."""
        return bool(self.options.train_p == "all")


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [TopP]
