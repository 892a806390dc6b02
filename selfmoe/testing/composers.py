"""What every router and merge must hold, as a test class to subclass.

    class TestMyRouter(ComposerContract):
        @pytest.fixture
        def composer(self):
            return MyRouter()

Everything runs on a tiny random Llama with two random experts of different rank.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selfmoe.components import Component, ComposeContext, Composer
from selfmoe.fit import Fit
from selfmoe.mixture import Mixture, attach, load, save
from selfmoe.records import Composition, Example, Expert, LoadedBase
from selfmoe.testing.compare import assert_close, assert_same, fingerprint, logits, tokens
from selfmoe.testing.components import ComponentContract
from selfmoe.testing.fakes import ToyTrainer
from selfmoe.testing.models import tiny_base, tiny_examples, tiny_experts


class ComposerContract(ComponentContract):
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
    def base(self) -> LoadedBase:
        """Return the base to compose on."""
        return tiny_base()

    @pytest.fixture
    def experts(self, base: LoadedBase, tmp_path: Path) -> dict[str, Expert]:
        """Return the experts to compose: same layers, ranks 2, 3 and so on."""
        return tiny_experts(base.model, tmp_path, self.domains)

    @pytest.fixture
    def data(self) -> list[Example]:
        """Return the examples to learn from."""
        return tiny_examples(6, self.domains)

    @pytest.fixture
    def context(
        self, base: LoadedBase, experts: dict[str, Expert], data: list[Example], tmp_path: Path
    ) -> ComposeContext:
        """Return all that composing needs."""
        return ComposeContext(base, experts, data, ToyTrainer(), Fit(), 0, tmp_path / "work")

    @pytest.fixture
    def composition(self, composer: Composer, context: ComposeContext) -> Composition:
        """Return what the composer makes."""
        return composer.compose(context)

    # --- what it makes --------------------------------------------------------------------------

    def test_names_its_experts(self, composition: Composition, composer: Composer) -> None:
        """A composition tells its composer and its experts in gate order."""
        assert composition.composer == composer.name
        assert tuple(ref.name for ref in composition.experts) == self.domains

    def test_same_seed_gives_the_same_bits(
        self, composer: Composer, composition: Composition, context: ComposeContext, tmp_path: Path
    ) -> None:
        """Composing twice gives equal bits."""
        again = composer.compose(context._replace(work=tmp_path / "again"))
        assert_same(composition, again)

    def test_base_and_experts_stay_as_they_are(
        self, composer: Composer, context: ComposeContext
    ) -> None:
        """Composing changes neither the base nor a file of an expert."""
        before, files = fingerprint(context.base.model), _files(context)
        composer.compose(context)
        assert fingerprint(context.base.model) == before
        assert _files(context) == files

    def test_saves_and_loads_bit_for_bit(
        self, composition: Composition, context: ComposeContext, tmp_path: Path
    ) -> None:
        """Saving and loading changes no bit."""
        save(composition, tmp_path / "saved", base_hash=context.base.hash)
        loaded = load(tmp_path / "saved", base_hash=context.base.hash, experts=context.experts)
        assert_same(composition, loaded)

    # --- what it does on a model ----------------------------------------------------------------

    def test_changes_the_base_and_gives_it_back(
        self, composer: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """Attaching changes the logits, detaching restores every bit."""
        model, ids = context.base.model, tokens()
        before = fingerprint(model)
        plain = logits(model, ids)
        with _attached(composer, composition, context):
            changed = logits(model, ids)
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, plain)
        assert torch.equal(logits(model, ids), plain)
        assert fingerprint(model) == before

    def test_gate_weights_are_weights(
        self, composer: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A gate returns finite weights ≥ 0, one an expert and token."""
        with _attached(composer, composition, context) as mixture:
            _need_gate(mixture)
            seen: list[Tensor] = []
            handle = mixture.gate.register_forward_hook(lambda m, x, alpha: seen.append(alpha))
            ids = tokens()
            with _labelled(mixture, self.domains, ids):
                logits(context.base.model, ids)
            handle.remove()
        assert seen
        for alpha in seen:
            assert alpha.shape == (*ids.shape, len(mixture.experts))
            assert alpha.dtype == torch.float32
            assert torch.isfinite(alpha).all()
            assert (alpha >= 0).all()

    def test_causal_gates_do_not_look_ahead(
        self, composer: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A prefix, whole or cached, is routed as within the whole."""
        model, ids = context.base.model, tokens()
        with _attached(composer, composition, context) as mixture:
            _need_gate(mixture)
            if not mixture.gate.causal:
                pytest.skip("the gate declares that it is not causal")
            with _labelled(mixture, self.domains, ids):
                whole = logits(model, ids)
                prefix = logits(model, ids[:, :7])
                cached = _cached_logits(model, ids, 7)
        assert_close(prefix, whole[:, :7])
        assert_close(cached, whole)


def _attached(composer: Composer, composition: Composition, ctx: ComposeContext) -> Mixture:
    return attach(ctx.base.model, composer, composition, ctx.experts)


def _labelled(mixture: Mixture, domains: tuple[str, ...], ids: Tensor) -> Any:
    prompt = torch.zeros_like(ids, dtype=torch.bool)
    prompt[:, :5] = True
    rows = [domains[i % len(domains)] for i in range(len(ids))]
    return mixture.annotate(prompt_mask=prompt, domain=rows)


def _need_gate(mixture: Mixture) -> None:
    if mixture.gate is None:
        pytest.skip("a static composition has no gate")


def _cached_logits(model: Any, ids: Tensor, prefix: int) -> Tensor:
    """Return the logits of reading a prefix at once and the rest token by token."""
    cuts = [0, *range(prefix, ids.shape[1] + 1)]
    cache, logits = None, []
    with torch.no_grad():
        for start, end in itertools.pairwise(cuts):
            mask = torch.ones_like(ids[:, :end])
            out = model(ids[:, start:end], mask, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            logits.append(out.logits)
    return torch.cat(logits, dim=1)


def _files(ctx: ComposeContext) -> dict[str, bytes]:
    paths = [p for e in ctx.experts.values() for p in sorted(e.path.rglob("*")) if p.is_file()]
    return {str(path): path.read_bytes() for path in paths}
