"""What every router and merge must hold, as a test class to subclass.

    class TestMyRouter(ComposerContract):
        @pytest.fixture
        def composer(self):
            return MyRouter()

Everything runs on a tiny random Llama with two random experts of different rank.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from selfmoe.contracts.component import Component
from selfmoe.contracts.composer import ComposeContext, Composer
from selfmoe.contracts.errors import NotSupportedError, SelfmoeError
from selfmoe.contracts.records import Composition, Example, Expert, LoadedBase
from selfmoe.mixture.storage import read_composition, reference, write_composition
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.compare import assert_close, assert_same, contents, fingerprint, logits, tokens
from selfmoe.testing.components import ComponentContract, briefly
from selfmoe.testing.fakes import ToyTrainer
from selfmoe.testing.gates import GateChecks, at_work
from selfmoe.testing.models import tiny_base, tiny_examples, tiny_experts


class ComposerContract(GateChecks, ComponentContract):
    """Checks of a router or merge.

    Attributes:
        domains: Names of the experts and of the domains of the examples.
    """

    domains = ("math", "coding")

    @pytest.fixture
    def composer(self) -> Composer:
        """Return the composer to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'composer'")

    @pytest.fixture
    def component(self, composer: Composer) -> Component:
        """Return the composer."""
        return composer

    @pytest.fixture
    def learner(self, composer: Composer) -> Composer:
        """Return the composer, set to two steps if it is fitted in steps."""
        return briefly(composer)

    @pytest.fixture
    def base(self) -> LoadedBase:
        """Return the base to compose on."""
        return tiny_base()

    @pytest.fixture
    def experts(self, base: LoadedBase, tmp_path: Path) -> dict[str, Expert]:
        """Return the experts to compose: same layers, ranks 2, 3 and so on."""
        return tiny_experts(base.model, tmp_path / "experts", self.domains)

    @pytest.fixture
    def data(self) -> list[Example]:
        """Return the examples to learn from."""
        return tiny_examples(6, self.domains)

    @pytest.fixture
    def context(
        self, base: LoadedBase, experts: dict[str, Expert], data: list[Example], tmp_path: Path
    ) -> ComposeContext:
        """Return all that composing needs."""
        return ComposeContext(
            base, experts, data, ToyTrainer(), Fit(), 0, tmp_path / "work", reference
        )

    @pytest.fixture
    def composition(self, learner: Composer, context: ComposeContext) -> Composition:
        """Return what the composer makes."""
        return learner.compose(context)

    # --- what it makes --------------------------------------------------------------------------

    def test_names_its_experts(self, composition: Composition, composer: Composer) -> None:
        """A composition tells its composer and its experts in gate order."""
        assert composition.composer == composer.name
        assert tuple(ref.name for ref in composition.experts) == self.domains

    def test_same_seed_gives_the_same_bits(
        self, learner: Composer, composition: Composition, context: ComposeContext, tmp_path: Path
    ) -> None:
        """Composing twice gives equal bits."""
        assert_same(composition, learner.compose(context._replace(work=tmp_path / "again")))

    def test_base_and_experts_stay_as_they_are(
        self, learner: Composer, context: ComposeContext
    ) -> None:
        """Composing changes neither the base nor a file of an expert."""
        before, files = fingerprint(context.base.model), _files(context)
        learner.compose(context)
        assert fingerprint(context.base.model) == before
        assert _files(context) == files

    def test_saves_and_loads_bit_for_bit(
        self, composition: Composition, context: ComposeContext, tmp_path: Path
    ) -> None:
        """Saving and loading changes no bit."""
        write_composition(composition, tmp_path / "saved", base_hash=context.base.hash)
        loaded = read_composition(
            tmp_path / "saved", base_hash=context.base.hash, experts=context.experts
        )
        assert_same(composition, loaded)

    def test_report_counts_parameters(self, composition: Composition) -> None:
        """The report holds finite numbers, those of added and of trained parameters among them."""
        report = dict(composition.report)
        assert all(isinstance(number, float) for number in report.values())
        json.dumps(report, allow_nan=False)
        assert report["added_parameters"] >= 0
        assert report["trained_parameters"] >= 0

    def test_tells_whether_it_needs_data(self, learner: Composer, context: ComposeContext) -> None:
        """Without examples it composes, or refuses with a clear error if it declares the need."""
        if "data" not in learner.needs:
            learner.compose(context._replace(data=()))
            return
        with pytest.raises(SelfmoeError):
            learner.compose(context._replace(data=()))

    def test_one_expert_composes(self, learner: Composer, context: ComposeContext) -> None:
        """A single expert is enough, unless ``check`` says why not; then composing says so, too."""
        name = self.domains[0]
        one = {name: context.experts[name]}
        alone = context._replace(
            experts=one, data=[example for example in context.data if example.domain == name]
        )
        if learner.check(1):
            with pytest.raises(SelfmoeError):
                learner.compose(alone)
            return
        with at_work(learner, learner.compose(alone), alone):
            assert torch.isfinite(logits(context.base.model, tokens())).all()

    def test_equal_experts_compose(self, learner: Composer, context: ComposeContext) -> None:
        """Experts that are all the same give finite logits: no division by their difference."""
        first = context.experts[self.domains[0]].path
        same = context._replace(experts={name: Expert(name, first) for name in self.domains})
        with at_work(learner, learner.compose(same), same):
            assert torch.isfinite(logits(context.base.model, tokens())).all()

    def test_order_of_merged_experts_does_not_matter(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A static composition is the same, but for rounding, whatever the order of its experts."""
        if learner.gate(composition) is not None:
            pytest.skip("a router's start depends on the order of the experts")
        turned = context._replace(experts=dict(reversed(list(context.experts.items()))))
        with at_work(learner, composition, context):
            one = logits(context.base.model, tokens())
        with at_work(learner, learner.compose(turned), turned):
            assert_close(logits(context.base.model, tokens()), one)

    def test_extends_or_says_that_it_cannot(
        self, learner: Composer, context: ComposeContext, tmp_path: Path
    ) -> None:
        """Extended, it names all experts; old rows keep their bits, or all are as composed anew."""
        *old, new = self.domains
        less = context._replace(
            experts={name: context.experts[name] for name in old},
            data=[example for example in context.data if example.domain != new],
        )
        if learner.check(len(old)):
            pytest.skip(f"it does not compose {len(old)}: {learner.check(len(old))}")
        before = learner.compose(less)
        try:
            after = learner.extend(before, context._replace(work=tmp_path / "extend"))
        except NotSupportedError as refusal:
            pytest.skip(str(refusal))
        assert tuple(ref.name for ref in after.experts) == self.domains
        if not _keeps_rows(before, after):
            assert_same(after, learner.compose(context._replace(work=tmp_path / "anew")))


def _keeps_rows(before: Composition, after: Composition) -> bool:
    """Return whether every tensor begins with the rows that it had before."""
    pairs = [(tensor, after.tensors.get(name)) for name, tensor in before.tensors.items()]
    return all(new is not None and torch.equal(new[: len(old)], old) for old, new in pairs)


def _files(ctx: ComposeContext) -> dict[str, dict[str, bytes]]:
    return {name: contents(expert.path) for name, expert in ctx.experts.items()}
