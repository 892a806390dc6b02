"""What every trainer must hold, as a test class to subclass.

    class TestMyTrainer(TrainerContract):
        @pytest.fixture
        def trainer(self):
            return MyTrainer()

Everything runs on a tiny random Llama and six short examples. A trainer whose options are a
``FitConfig`` is asked for two steps.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.fitting import FitConfig
from selfmoe.contracts.prompts import Prompts
from selfmoe.contracts.records import (
    Composition,
    Example,
    Expert,
    Instruction,
    LoadedBase,
    Seed,
)
from selfmoe.contracts.trainer import TrainContext, Trainer
from selfmoe.mixture.adapters import factors_of, read_factors
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import references
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.compare import assert_close, contents, fingerprint, logits, tokens, with_deltas
from selfmoe.testing.components import ComponentContract, briefly
from selfmoe.testing.models import random_adapter, tiny_base, tiny_examples


class Trained(NamedTuple):
    """What a trainer left and told."""

    path: Path
    report: Mapping[str, Any]


class TrainerContract(ComponentContract):
    """Checks of a trainer."""

    @pytest.fixture
    def trainer(self) -> Trainer:
        """Return the trainer to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'trainer'")

    @pytest.fixture
    def component(self, trainer: Trainer) -> Component:
        """Return the trainer."""
        return trainer

    @pytest.fixture
    def learner(self, trainer: Trainer) -> Trainer:
        """Return the trainer, set to two steps if it is fitted in steps."""
        return briefly(trainer)

    @pytest.fixture
    def base(self) -> LoadedBase:
        """Return the base to train on."""
        return tiny_base()

    @pytest.fixture
    def examples(self) -> list[Example]:
        """Return the examples to train on."""
        return tiny_examples(6)

    @pytest.fixture
    def context(self, base: LoadedBase, examples: list[Example], tmp_path: Path) -> TrainContext:
        """Return all that training needs."""
        given = (base, examples, Fit(), 0, tmp_path, tmp_path, ToyTeacher())
        return _anew(TrainContext(*given), tmp_path / "first")

    @pytest.fixture
    def trained(self, learner: Trainer, context: TrainContext) -> Trained:
        """Return the adapter that the trainer makes, and its report."""
        return Trained(context.out, learner.train(context))

    def test_leaves_the_base_as_it_was(self, learner: Trainer, context: TrainContext) -> None:
        """Training changes no bit of the base, and leaves no layer, hook or flag on it."""
        before = fingerprint(context.base.model)
        learner.train(context)
        after = fingerprint(context.base.model)
        for what, was in before.items():
            assert after[what] == was, f"the base's {what} changed"

    def test_leaves_a_plain_adapter(self, trained: Trained) -> None:
        """The folder is a LoRA in safetensors, without pickled files beside it."""
        assert read_factors(trained.path)
        for name in contents(trained.path):
            assert name.endswith((".safetensors", ".json", ".md", ".txt")), name

    def test_peft_reads_the_same(self, trained: Trained, base: LoadedBase) -> None:
        """PEFT loads the folder, and its logits are those of the factors that selfmoe reads."""
        from peft import PeftModel

        theirs = PeftModel.from_pretrained(copy.deepcopy(base.model), str(trained.path)).eval()
        ours = with_deltas(base.model, read_factors(trained.path))
        assert_close(logits(theirs, tokens()), logits(ours, tokens()))

    def test_learns(self, trained: Trained) -> None:
        """What it leaves changes the base's weights by finite numbers that are not all zero."""
        deltas = [factors.delta() for factors in read_factors(trained.path).values()]
        assert all(torch.isfinite(delta).all() for delta in deltas)
        assert any(delta.any() for delta in deltas), "the adapter adds nothing"

    def test_expert_composes(self, trained: Trained, base: LoadedBase, tmp_path: Path) -> None:
        """Routed beside another expert, it adds its share."""
        from selfmoe.testing.fakes import ToyRouter

        other = random_adapter(base.model, tmp_path / "other")
        experts = {"new": Expert("new", trained.path), "other": Expert("other", other)}
        shares = {"shares": torch.tensor([0.5, 0.5])}
        halves = Composition("toy", {}, references(experts), shares)
        with attach(base.model, ToyRouter(), halves, experts):
            routed = logits(base.model, tokens())
        factors = [factors_of(expert) for expert in experts.values()]
        assert_close(routed, logits(with_deltas(base.model, *factors, weight=0.5), tokens()))

    def test_same_seed_gives_the_same_files(
        self, learner: Trainer, trained: Trained, context: TrainContext, tmp_path: Path
    ) -> None:
        """Training again with the same seed leaves equal files."""
        again = _anew(context, tmp_path / "again")
        learner.train(again)
        assert contents(again.out) == contents(trained.path)

    def test_other_seed_gives_another_adapter(
        self, learner: Trainer, trained: Trained, context: TrainContext, tmp_path: Path
    ) -> None:
        """The seed decides the start and the order of the examples."""
        other = _anew(context, tmp_path / "other", seed=1)
        learner.train(other)
        assert _weights(other.out) != _weights(trained.path)

    def test_resumes_with_the_same_bits(
        self, learner: Trainer, context: TrainContext, tmp_path: Path
    ) -> None:
        """Interrupted after a step it leaves nothing, goes on from there and ends the same."""
        steps = Steps()
        learner.train(context._replace(fit=Fit(steps)))
        if steps.count < 2:
            pytest.skip("the trainer takes no two steps by ctx.fit that it could stop between")
        half = _anew(context, tmp_path / "half")
        with pytest.raises(KeyboardInterrupt):
            learner.train(half._replace(fit=Fit(Steps(stop=2), save_seconds=-1)))
        assert contents(half.out) == {}, "half an adapter was left"
        rest = Steps()
        learner.train(half._replace(fit=Fit(rest)))
        assert rest.count < steps.count, "it started over; let ctx.fit keep its state in ctx.work"
        assert _weights(half.out) == _weights(context.out)

    def test_trains_together_what_it_trains_apart(
        self, learner: Trainer, context: TrainContext, tmp_path: Path
    ) -> None:
        """Where it says that it can, experts of one pass are those it trains by themselves."""
        apart = _two(learner, context, tmp_path / "apart")
        packed = _two(learner, context, tmp_path / "packed")
        before = fingerprint(context.base.model)
        reports = type(learner).train_together(packed)
        after = fingerprint(context.base.model)
        assert after == before, "the base changed"
        for name, (trainer, alone) in apart.items():
            report = trainer.train(alone)
            assert reports[name]["losses"] == pytest.approx(report["losses"], rel=1e-5, abs=1e-5)
            assert {**reports[name], "losses": 0} == {**report, "losses": 0}
            expected, found = read_factors(alone.out), read_factors(packed[name][1].out)
            assert found.keys() == expected.keys()
            for layer, factors in expected.items():  # AdamW makes steps of rounding noise, too
                assert_close(found[layer].delta(), factors.delta(), 1e-3)

    def test_resumes_a_pass_with_the_same_bits(
        self, learner: Trainer, context: TrainContext, tmp_path: Path
    ) -> None:
        """Interrupted after a step, a pass leaves nothing, goes on from there and ends the same."""
        steps, rest, together = Steps(), Steps(), type(learner).train_together
        whole = _two(learner, context, tmp_path / "whole", Fit(steps))
        together(whole)
        if steps.count < 2:
            pytest.skip("the trainer takes no two steps by ctx.fit that it could stop between")
        half = _two(learner, context, tmp_path / "half", Fit(Steps(stop=2), save_seconds=-1))
        with pytest.raises(KeyboardInterrupt):
            together(half)
        assert all(contents(ctx.out) == {} for _, ctx in half.values()), "half an adapter was left"
        together({name: (one, ctx._replace(fit=Fit(rest))) for name, (one, ctx) in half.items()})
        assert rest.count < steps.count, "it started over; let ctx.fit keep its state in ctx.work"
        for name, (_, ctx) in whole.items():
            assert _weights(half[name][1].out) == _weights(ctx.out)

    def test_goes_on_with_an_adapter(
        self, trainer: Trainer, trained: Trained, context: TrainContext, tmp_path: Path
    ) -> None:
        """Where it says that it can, it begins where the adapter was left, not anew."""
        if not trainer.continues:
            pytest.skip("the trainer always begins a new adapter")
        if not isinstance(trainer.options, FitConfig):
            pytest.skip("the trainer is not fitted in steps")
        short = {"lr": 1e-12, "max_steps": 1}
        barely = type(trainer)(trainer.options.model_copy(update=short))
        further = _anew(context, tmp_path / "further")._replace(start=trained.path)
        barely.train(further)
        before, after = read_factors(trained.path), read_factors(further.out)
        assert before.keys() == after.keys()
        for name, factors in before.items():
            assert_close(after[name].delta(), factors.delta())

    def test_stops_at_a_loss_that_is_no_number(
        self, learner: Trainer, context: TrainContext
    ) -> None:
        """On a base whose loss is NaN it raises an error for the user and leaves nothing."""
        head: Any = context.base.model
        head.get_output_embeddings().weight.data[0, 0] = math.nan
        with pytest.raises(SelfmoeError):
            learner.train(context)
        assert contents(context.out) == {}, "an adapter was left"

    def test_reports_what_it_did(self, trained: Trained) -> None:
        """The report can be JSON; it has the loss of every step, and counts tokens and weights."""
        report = json.loads(json.dumps(dict(trained.report), allow_nan=False))
        assert report["losses"]
        assert all(isinstance(loss, int | float) for loss in report["losses"])
        assert isinstance(report["tokens"], int)
        assert report["tokens"] > 0
        assert isinstance(report["trained_parameters"], int)
        assert report["trained_parameters"] > 0


class ToyTeacher:
    """Solved tasks in front of each; answers end with their line."""

    stop = ("\n",)

    def __call__(self, example: Example) -> str:
        """Return the prompt of a task."""
        solved = (Seed("1", "Add 1 and 1.", "", "2"), Seed("2", "Add 20 and 2.", "", "22"))
        return Prompts().respond(solved, Instruction(example.instruction, example.input))


class Steps:
    """Counts the steps of a fit and stops it, as Ctrl-C would, in one of them.

    Args:
        stop: The step to stop in; ``None`` for never.
    """

    def __init__(self, stop: int | None = None) -> None:
        self.count = 0
        self._stop = stop

    def __call__(self, step: int, steps: int, text: str) -> None:
        """Count one step."""
        self.count += 1
        if self.count == self._stop:
            raise KeyboardInterrupt


def _anew(context: TrainContext, root: Path, seed: int = 0) -> TrainContext:
    """Return the context with empty folders of its own below ``root``."""
    (root / "adapter").mkdir(parents=True)
    return context._replace(seed=seed, work=root / "work", out=root / "adapter")


def _two(
    trainer: Trainer, context: TrainContext, root: Path, fit: Fit | None = None
) -> dict[str, tuple[Trainer, TrainContext]]:
    """Return two experts of one trainer that learn from different examples, for one pass."""
    if (why := trainer.alone(context.base)) is not None:
        pytest.skip(f"the trainer trains one expert at a time: {why}")
    found, half = {}, len(context.data) // 2
    for seed, data in enumerate((context.data[:half], context.data[half:])):
        own = _anew(context, root / f"{seed}", seed)
        found[f"{seed}"] = (
            trainer,
            own._replace(data=data, fit=fit or context.fit, work=root / "work"),
        )
    return found


def _weights(path: Path) -> list[bytes]:
    return [text for name, text in contents(path).items() if name.endswith(".safetensors")]
