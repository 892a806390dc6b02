"""What every router and merge must hold, as a test class to subclass.

    class TestMyRouter(ComposerContract):
        @pytest.fixture
        def composer(self):
            return MyRouter()

Everything runs on a tiny random Llama with two random experts of different rank.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor

from selfmoe.components import ComponentConfig, ComposeContext, Composer, TrainContext, Trainer
from selfmoe.fit import Fit
from selfmoe.mixture import Mixture, attach, load, save
from selfmoe.mixture.storage import model_hash
from selfmoe.records import Composition, Example, Expert, LoadedBase
from selfmoe.testing.light import assert_light
from selfmoe.testing.models import random_adapter, tiny_base, tiny_examples


class RandomTrainer(Trainer):
    """Writes a random adapter instead of training one; for tests."""

    name = "random"

    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write a random LoRA of rank 2 that depends on the seed only."""
        random_adapter(ctx.base.model, ctx.out, r=2, seed=ctx.seed)
        return {"losses": [2.0, 1.0], "tokens": 8, "trained_parameters": 8}


class ComposerContract:
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
    def base(self) -> LoadedBase:
        """Return the base to compose on."""
        return tiny_base()

    @pytest.fixture
    def experts(self, base: LoadedBase, tmp_path: Path) -> dict[str, Expert]:
        """Return the experts to compose: same layers, ranks 2, 3 and so on."""
        return {
            name: Expert(name, random_adapter(base.model, tmp_path / name, r=2 + i, seed=i))
            for i, name in enumerate(self.domains)
        }

    @pytest.fixture
    def data(self) -> list[Example]:
        """Return the examples to learn from."""
        return tiny_examples(6, self.domains)

    @pytest.fixture
    def context(
        self, base: LoadedBase, experts: dict[str, Expert], data: list[Example], tmp_path: Path
    ) -> ComposeContext:
        """Return all that composing needs."""
        return ComposeContext(base, experts, data, RandomTrainer(), Fit(), 0, tmp_path / "work")

    @pytest.fixture
    def composition(self, composer: Composer, context: ComposeContext) -> Composition:
        """Return what the composer makes."""
        return composer.compose(context)

    # --- what it says of itself -----------------------------------------------------------------

    def test_says_what_it_is(self, composer: Composer) -> None:
        """It has a name and a first line that explains it."""
        assert composer.summary(), "the first line of the docstring says what the composer is"
        assert composer.name

    def test_entry_point_module_is_light(self, composer: Composer) -> None:
        """Its entry-point module imports none of the heavy libraries."""
        assert_light(type(composer).__module__.partition(".")[0])

    def test_unknown_option_is_rejected(self, composer: Composer) -> None:
        """An option it does not have is an error that names it."""
        with pytest.raises(ValidationError, match="no_such_option"):
            composer.Config.model_validate({"no_such_option": 1})

    def test_options_survive_yaml(self, composer: Composer) -> None:
        """Its options can be written to YAML and read back."""
        written = yaml.safe_dump(composer.options.model_dump(mode="json"))
        assert composer.Config.model_validate(yaml.safe_load(written)) == composer.options
        assert isinstance(composer.options, ComponentConfig)

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
        before, files = model_hash(context.base.model), _files(context)
        structure = _structure(context.base.model)
        composer.compose(context)
        assert model_hash(context.base.model) == before
        assert _files(context) == files
        assert _structure(context.base.model) == structure
        assert not any(p.requires_grad for p in context.base.model.parameters())

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
        model, ids = context.base.model, _tokens()
        before, structure = model_hash(model), _structure(model)
        plain = _logits(model, ids)
        with _attached(composer, composition, context):
            changed = _logits(model, ids)
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, plain)
        assert torch.equal(_logits(model, ids), plain)
        assert (model_hash(model), _structure(model)) == (before, structure)

    def test_gate_weights_are_weights(
        self, composer: Composer, composition: Composition, context: ComposeContext
    ) -> None:
        """A gate returns finite weights ≥ 0, one an expert and token."""
        with _attached(composer, composition, context) as mixture:
            _need_gate(mixture)
            seen: list[Tensor] = []
            handle = mixture.gate.register_forward_hook(lambda m, x, alpha: seen.append(alpha))
            ids = _tokens()
            with _labelled(mixture, self.domains, ids):
                _logits(context.base.model, ids)
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
        model, ids = context.base.model, _tokens()
        with _attached(composer, composition, context) as mixture:
            _need_gate(mixture)
            if not mixture.gate.causal:
                pytest.skip("the gate declares that it is not causal")
            with _labelled(mixture, self.domains, ids):
                whole = _logits(model, ids)
                prefix = _logits(model, ids[:, :7])
                cached = _cached_logits(model, ids, 7)
        assert_close(prefix, whole[:, :7])
        assert_close(cached, whole)


def assert_same(a: Composition, b: Composition) -> None:
    """Fail unless two compositions are equal bit for bit, wherever their files lie."""
    assert (a.composer, a.options, a.report) == (b.composer, b.options, b.report)
    assert [(r.name, r.hash) for r in a.experts] == [(r.name, r.hash) for r in b.experts]
    assert set(a.tensors) == set(b.tensors)
    for name, tensor in a.tensors.items():
        assert tensor.dtype == b.tensors[name].dtype
        assert torch.equal(tensor, b.tensors[name]), name
    assert set(a.owned) == set(b.owned)
    for name, path in a.owned.items():
        mine, other = Expert(name, path).factors(), Expert(name, b.owned[name]).factors()
        for site, factors in mine.items():
            assert torch.equal(factors.a, other[site].a)
            assert torch.equal(factors.b, other[site].b)


def assert_close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    """Fail unless ``max|a - b| / max|b|`` is below the tolerance."""
    error = float((a - b).abs().max() / b.abs().max())
    assert error < tolerance, f"relative error {error:.2e}"


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


def _tokens() -> Tensor:
    return torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(7))


def _logits(model: Any, ids: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


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


def _structure(model: torch.nn.Module) -> list[tuple[str, str, list[str]]]:
    """Return every module's name, class and attributes; what ``detach`` has to restore."""
    hidden = {"_output_capturing_hooks_installed"}  # set by transformers' own forward
    return [
        (name, str(id(type(m))), sorted(set(vars(m)) - hidden) + sorted(m._buffers) + _hooks(m))
        for name, m in model.named_modules()
    ]


def _hooks(module: torch.nn.Module) -> list[str]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs")
    return [f"{kind}:{len(getattr(module, kind))}" for kind in kinds]
