"""MiXSE's router: softmax over the experts, the k largest weights kept, the rest left to the base.

Self-MoE (arXiv 2406.12034), section 3.3: ``h = W0 x + sum_i alpha_i B_i A_i x`` with
``alpha = top-k(softmax(theta x))``, not renormalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from selfmoe.contracts import Router, hookimpl
from selfmoe.kits.routers import SoftmaxRouter, TopKConfig

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.kits.routers import TopKGate

SELFMOE_API = 1


class TopK(SoftmaxRouter):
    """Learned router: every token takes its k most probable experts in every block (MiXSE).

    With ``block_input`` one linear map θ, shared by all blocks and without bias, reads the residual
    stream that enters a block, scaled to unit mean square in float32: the paper's formula applies
    one θ to all layers, whose inputs differ in width. The other inputs are variants:
    ``embedding`` reads what enters the first block, ``per_width`` has one θ for each width of
    layer inputs, ``per_linear`` one for each layer.
    """

    name = "topk"
    label = "mixse"
    takes_k = True
    default = True
    reference_url = "https://arxiv.org/abs/2406.12034"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"train_k": "k", "weight": "softmax"}
    }

    class Config(TopKConfig):
        """Options of the MiXSE router."""

        train_k: Literal["all", "k"] = Field(
            "all", description="Experts a token uses while the router learns: all, or k."
        )

    def softmax_gate(self, options: Any, tensors: Mapping[str, Tensor]) -> TopKGate:
        """Return the gate with these options and these θ by name, shape ``(n_experts, width)``."""
        from selfmoe.kits.routers import TopKGate

        return TopKGate(options, tensors)

    def trains_all(self) -> bool:
        """Return whether a token uses all experts while the router learns."""
        return bool(self.options.train_k == "all")


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [TopK]
