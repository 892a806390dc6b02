"""What a composition must hold at work on a model; a part of ``ComposerContract``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from selfmoe.contracts.composer import ComposeContext, Composer, Site, TokenInfo
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.formula import Formulated
from selfmoe.contracts.records import Composition
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.runtime import attach
from selfmoe.outward.export.routed import portable_gate
from selfmoe.testing.compare import assert_close, fingerprint, logits, tokens

PROMPT = 5
"""Tokens of a row that are its prompt."""


class GateChecks:
    """Checks of a composition on a model; routers are told prompt and domain of every row."""

    def test_changes_the_base_and_gives_it_back(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """Attaching changes the logits, detaching restores every bit."""
        model: Any = context.base.model
        before, plain = fingerprint(model), logits(model, tokens())
        with at_work(learner, composition, context):
            changed = logits(model, tokens())
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, plain)
        assert torch.equal(logits(model, tokens()), plain)
        assert fingerprint(model) == before

    def test_tells_what_it_needs_to_know(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """Told neither domain nor prompt it works, or declares the need and refuses clearly."""
        with attach(context.base.model, learner, composition, context.experts):
            try:
                assert torch.isfinite(logits(context.base.model, tokens())).all()
            except SelfmoeError:
                assert learner.needs & {"labels_at_inference", "prompt_mask"}

    def test_gate_weights_are_weights(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A gate returns finite weights ≥ 0 in float32, one an expert and token."""
        for alpha in _weights(learner, composition, context):
            assert alpha.shape == (*tokens().shape, len(context.experts))
            assert alpha.dtype == torch.float32
            assert torch.isfinite(alpha).all()
            assert (alpha >= 0).all()

    def test_gate_weights_are_bounded(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """The weights of a token sum to 1 at the most, unless the composer declares otherwise."""
        if not learner.bounded:
            pytest.skip("the composer declares that its weights are not bounded")
        for alpha in _weights(learner, composition, context):
            assert (alpha.sum(-1) <= 1 + 1e-5).all()

    def test_formula_says_what_the_gate_computes(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """Where a gate has a formula, exported models weigh as it does."""
        with at_work(learner, composition, context) as mixture:
            _need_gate(mixture)
            gate: Any = mixture.gate
            if not isinstance(gate, Formulated):
                pytest.skip("the gate is no formula of the running forward; it is not exported")
            elsewhere = portable_gate(gate.formula(), len(context.experts))

            def compare(gate: Any, told: tuple[Tensor, Site, TokenInfo], alpha: Tensor) -> None:
                x, where, info = told
                found = elsewhere(x, where.block, where.linear, info.input_ids, info.position_ids)
                assert_close(found, alpha)

            mixture.gate.register_forward_hook(compare)
            logits(context.base.model, tokens())

    def test_gate_without_weight_leaves_the_base(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """With every weight taken away the logits are those of the base."""
        model: Any = context.base.model
        plain = logits(model, tokens())
        with at_work(learner, composition, context) as mixture:
            _need_gate(mixture)
            mute = mixture.gate.register_forward_hook(lambda gate, told, alpha: 0 * alpha)
            silent = logits(model, tokens())
            mute.remove()
        assert_close(silent, plain)

    def test_causal_gates_do_not_look_ahead(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A prefix, whole or cached, is routed as within the whole."""
        model, ids = context.base.model, tokens()
        with at_work(learner, composition, context) as mixture:
            _need_gate(mixture)
            if not mixture.gate.causal:
                pytest.skip("the gate declares that it is not causal")
            whole = logits(model, ids)
            prefix = logits(model, ids[:, :7])
            cached = _cached_logits(model, ids, 7)
        assert_close(prefix, whole[:, :7])
        assert_close(cached, whole)

    def test_rows_and_padding_do_not_mix(
        self, learner: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A row padded on the left, beside a longer one, is routed as alone."""
        model: Any = context.base.model
        ids, mask, pads = tokens(), torch.ones_like(tokens()), 4
        ids[0, :pads], mask[0, :pads] = context.base.tokenizer.pad_token_id, 0
        prompt = torch.zeros_like(ids, dtype=torch.bool)
        prompt[0, pads : pads + PROMPT] = prompt[1, :PROMPT] = True
        rows = list(itertools.islice(itertools.cycle(context.experts), len(ids)))
        with attach(model, learner, composition, context.experts) as mixture, torch.no_grad():
            with mixture.annotate(prompt_mask=prompt, domain=rows):
                beside = model(input_ids=ids, attention_mask=mask).logits[:1, pads:]
            with mixture.annotate(prompt_mask=prompt[:1, pads:], domain=rows[:1]):
                alone = logits(model, ids[:1, pads:])
        assert_close(beside, alone)


@contextmanager
def at_work(
    composer: Composer, composition: Composition, context: ComposeContext
) -> Iterator[Mixture]:
    """Attach a composition and say of two rows of tokens what prompt and domain are."""
    prompt = torch.zeros_like(tokens(), dtype=torch.bool)
    prompt[:, :PROMPT] = True
    rows = list(itertools.islice(itertools.cycle(context.experts), len(prompt)))
    with (
        attach(context.base.model, composer, composition, context.experts) as mixture,
        mixture.annotate(prompt_mask=prompt, domain=rows),
    ):
        yield mixture


def _weights(composer: Composer, composition: Composition, context: ComposeContext) -> list[Tensor]:
    """Return all that the gate says of two rows of tokens."""
    seen: list[Tensor] = []
    with at_work(composer, composition, context) as mixture:
        _need_gate(mixture)
        watch = mixture.gate.register_forward_hook(lambda gate, told, alpha: seen.append(alpha))
        logits(context.base.model, tokens())
        watch.remove()
    assert seen, "the gate was not asked"
    return seen


def _need_gate(mixture: Mixture) -> None:
    if mixture.gate is None:
        pytest.skip("a static composition has no gate")


def _cached_logits(model: Any, ids: Tensor, prefix: int) -> Tensor:
    """Return the logits of reading a prefix at once and the rest token by token."""
    cuts = [0, *range(prefix, ids.shape[1] + 1)]
    cache, parts = None, []
    with torch.no_grad():
        for start, end in itertools.pairwise(cuts):
            mask = torch.ones_like(ids[:, :end])
            out = model(ids[:, start:end], mask, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            parts.append(out.logits)
    return torch.cat(parts, dim=1)
