"""Experts and router trained together: what is left of MiXSE when its experts are not specialised.

Self-MoE (arXiv 2406.12034), the ablation "without semantic experts" in table 2.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from selfmoe.contracts import (
    ComponentConfig,
    ComposeContext,
    Composition,
    CompositionError,
    FitConfig,
    Gate,
    Router,
    hookimpl,
)
from selfmoe.kits.routers import TopKConfig

SELFMOE_API = 1


class Joint(Router):
    """Control: as many new LoRA experts as there are, trained with their router on all data.

    The new experts have the ranks, scales and layers of the run's experts and begin as LoRA does; θ
    and the gate are those of MiXSE. Rate, epochs and batches are the trainer's unless they are
    given here, so that it reads the tokens that all experts read together.
    """

    name = "joint"
    label = "joint"
    takes_k = True
    needs = frozenset({"data"})
    reference_url = "https://arxiv.org/abs/2406.12034"

    class Config(ComponentConfig):
        """Options of joint training."""

        k: int = Field(1, ge=1, description="Experts a token uses.")
        train_k: Literal["all", "k"] = Field(
            "all", description="Experts a token uses during training: all, or k."
        )
        init_std: float = Field(
            0.02, gt=0, description="Standard deviation of the router's initial weights."
        )
        router_lr: float = Field(1e-3, gt=0, description="Peak learning rate of the router.")
        lr: float | None = Field(
            None, gt=0, description="Peak learning rate of the experts. Default: the trainer's."
        )
        epochs: int | None = Field(
            None, ge=1, description="Passes over the data of all. Default: the trainer's."
        )
        batch_size: int | None = Field(
            None, ge=1, description="Examples an optimizer step. Default: the trainer's."
        )
        max_steps: int | None = Field(
            None, ge=1, description="Optimizer steps at the most. Default: the trainer's."
        )

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return a composition that owns its experts, which go by the names of the run's.

        Raises:
            CompositionError: If k is too large, or there are no examples.
        """
        from selfmoe_router_joint.training import train

        start = self.composition(ctx)
        if not ctx.data:
            raise CompositionError("router 'joint' needs examples to train on; there are none")
        return train(ctx, self, start, self._fit_options(ctx))

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe.kits.routers import TopKGate

        options = self.Config.model_validate(composition.options)
        return TopKGate(TopKConfig(k=options.k, weight="softmax"), composition.tensors)

    def _fit_options(self, ctx: ComposeContext) -> FitConfig:
        """Return how the run's experts are fitted, with what the options say differently."""
        theirs = None if ctx.trainer is None else ctx.trainer.options
        fields = set(FitConfig.model_fields)
        known = theirs.model_dump(include=fields) if isinstance(theirs, FitConfig) else {}
        own = self.options.model_dump(include=fields, exclude_none=True)
        return FitConfig.model_validate({**known, **own})


@hookimpl
def register_routers() -> list[type[Router]]:
    """Return the router of this package."""
    return [Joint]
