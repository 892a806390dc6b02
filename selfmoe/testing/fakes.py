"""Small components that really work, to test others with and to copy from."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from selfmoe.contracts.composer import ComposeContext, Gate, Merge, Router
from selfmoe.contracts.fitting import FitConfig
from selfmoe.contracts.records import Composition
from selfmoe.contracts.trainer import TrainContext, Trainer
from selfmoe.kits.domains.mini_track import MiniDomain
from selfmoe.kits.domains.procedural import Family, Problem

if TYPE_CHECKING:
    from torch import Tensor


def _add(rng: Random) -> Problem:
    a, b = rng.randint(2, 99), rng.randint(2, 99)
    return Problem("add", f"What is {a} + {b}?", f"{a + b}", "", f"print({a} + {b})")


def _double(rng: Random) -> Problem:
    a = rng.randint(2, 9999)
    return Problem("double", f"What is twice {a}?", f"{2 * a}", "", f"print(2 * {a})")


class ToyDomain(MiniDomain):
    """Sums and doubles."""

    name = "toy"
    description = "sums and doubles"
    families = (Family("add", _add), Family("double", _double))
    style = "marked"


class OtherToyDomain(ToyDomain):
    """The same, where two domains are needed."""

    name = "toy-other"


class ToyTrainer(Trainer):
    """Two quick steps of a LoRA of rank 2 on the query projections."""

    name = "toy"
    continues = True
    targets: ClassVar[tuple[str, ...]] = ("q_proj",)

    class Config(FitConfig):
        """Options of the toy trainer."""

        lr: float = Field(0.05, gt=0, description="Peak learning rate of AdamW.")
        max_steps: int | None = Field(2, ge=1, description="Optimizer steps at the most.")
        batch_size: int = Field(4, ge=1, description="Examples an optimizer step.")

    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Train on a copy of the base, which is thereby left alone."""
        import copy

        import torch
        from peft import LoraConfig, get_peft_model

        from selfmoe.kits.trainers import go_on

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            config = LoraConfig(r=2, target_modules=list(self.targets), task_type="CAUSAL_LM")
            model: Any = get_peft_model(copy.deepcopy(ctx.base.model), config)
        if ctx.start is not None:
            go_on(model, ctx.start)
        learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
        fitted = ctx.fit(
            model, learned, ctx.data, ctx.base, self.options,
            seed=ctx.seed, work=ctx.work, label="toy expert",
        )  # fmt: skip
        model.save_pretrained(str(ctx.out))
        return {
            "losses": fitted.losses,
            "tokens": fitted.tokens,
            "trained_parameters": sum(parameter.numel() for parameter in learned.values()),
        }


class ToyRouter(Router):
    """Every token takes an equal share of every expert."""

    name = "toy"

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the share of each expert; nothing is trained."""
        import torch

        n = len(ctx.experts)
        report = {"added_parameters": float(n), "trained_parameters": 0.0}
        tensors = {"shares": self.shares(torch.full((n,), 1 / n), ctx)}
        return self.composition(ctx, tensors, report=report)

    def shares(self, shares: Tensor, ctx: ComposeContext) -> Tensor:
        """Return the share of each expert, given equal ones, shape ``(n_experts,)``."""
        return shares

    def gate(self, composition: Composition) -> Gate:
        """Return the gate of a composition."""
        from selfmoe.testing.routing import Constant

        return Constant(composition.tensors["shares"])


class ToyMerge(Merge):
    """The mean of the experts' deltas."""

    name = "toy"

    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the mean delta of every layer."""
        from selfmoe.kits.merges import merge_deltas

        tensors, report = merge_deltas(ctx, self.merge)
        return self.composition(ctx, tensors, report=report)

    def merge(self, site: str, deltas: Mapping[str, Tensor]) -> Tensor:
        """Return the mean of the experts' deltas of one layer, shape ``(out, in)`` like each."""
        total: Tensor = sum(deltas.values())  # type: ignore[assignment]
        return total / len(deltas)
