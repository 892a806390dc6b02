"""One LoRA on one domain after another: the same as training by hand, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.errors import CompositionError, StageError
from selfmoe.contracts.randomness import derive
from selfmoe.contracts.trainer import TrainContext
from selfmoe.mixture.adapters import read_factors
from selfmoe.testing.compare import assert_close
from selfmoe.testing.composers import ComposerContract
from selfmoe.testing.fakes import ToyTrainer
from selfmoe_merge_sequential import Sequential
from selfmoe_trainer_lora import Lora

DOMAINS = ("math", "coding", "facts")
SHORT: dict[str, Any] = {"max_steps": 2, "batch_size": 3, "lr": 0.01}


def lora(**options: Any) -> Lora:
    return Lora(Lora.Config(**{**SHORT, **options}))


def ordered(order: Sequence[str]) -> Sequential:
    return Sequential(Sequential.Config(order=list(order)))


class TestSequential(ComposerContract):
    domains = DOMAINS

    @pytest.fixture
    def composer(self) -> Sequential:
        return Sequential()


@pytest.fixture
def given(context: ComposeContext) -> ComposeContext:
    return context._replace(trainer=lora())


class Stubborn(ToyTrainer):
    continues = False


class TestTraining(TestSequential):
    @pytest.mark.parametrize("order", [DOMAINS, ("facts", "math", "coding")])
    def test_is_training_by_hand_domain_by_domain(
        self, given: ComposeContext, tmp_path: Path, order: tuple[str, ...]
    ) -> None:
        made = ordered(order).compose(given)
        start = None
        for domain in order:
            own = [example for example in given.data if example.domain == domain]
            out, seed = tmp_path / "by-hand" / domain, derive(given.seed, domain)
            out.mkdir(parents=True)
            work = out.with_name(f"work-{domain}")
            lora().train(TrainContext(given.base, own, given.fit, seed, work, out, None, start))
            start = out
        assert start is not None
        mine, theirs = read_factors(made.owned["sequential"]), read_factors(start)
        assert mine.keys() == theirs.keys()
        for name, factors in theirs.items():
            assert_close(mine[name].delta(), factors.delta())

    def test_the_order_decides(self, given: ComposeContext, tmp_path: Path) -> None:
        one = ordered(DOMAINS).compose(given)
        again = given._replace(work=tmp_path / "again")
        other = ordered(DOMAINS[::-1]).compose(again)
        first, second = (read_factors(c.owned["sequential"]) for c in (one, other))
        assert any((first[name].delta() != second[name].delta()).any() for name in first)

    @pytest.mark.parametrize("order", [["math"], ["math", "coding", "math"], ["math", "x", "y"]])
    def test_no_order_of_the_domains(self, given: ComposeContext, order: list[str]) -> None:
        with pytest.raises(CompositionError, match="Name each of these once"):
            ordered(order).compose(given)

    def test_a_trainer_that_always_begins_anew_is_refused(self, context: ComposeContext) -> None:
        """It would silently forget all but the last domain."""
        with pytest.raises(CompositionError, match="can go on with an adapter"):
            Sequential().compose(context._replace(trainer=Stubborn()))

    def test_an_adapter_of_another_shape_is_not_gone_on_with(
        self, given: ComposeContext, tmp_path: Path
    ) -> None:
        out, further = tmp_path / "small", tmp_path / "large"
        out.mkdir()
        further.mkdir()
        common = (given.base, given.data, given.fit, 0)
        lora(r=4).train(TrainContext(*common, tmp_path / "w1", out))
        with pytest.raises(StageError, match="cannot be gone on with"):
            lora().train(TrainContext(*common, tmp_path / "w2", further, None, out))
