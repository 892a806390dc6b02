"""TIES, DARE and instance merging: contracts, naive references, gauge invariance, PEFT."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Expert
from selfmoe.kits.merges import truncate
from selfmoe.mixture.adapters import WEIGHTS, factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import reference
from selfmoe.testing.composers import ComposerContract, assert_close
from selfmoe.testing.models import random_adapter
from selfmoe_merge_dare import Dare
from selfmoe_merge_dare.merge import kept
from selfmoe_merge_instance import Instance
from selfmoe_merge_mean import Mean
from selfmoe_merge_ties import Ties
from selfmoe_router_random import Random

DOMAINS = ("math", "coding", "facts")
SITE = "model.layers.1.mlp.down_proj"


class Merging(ComposerContract):
    domains = DOMAINS


class TestTies(Merging):
    @pytest.fixture
    def composer(self):
        return Ties()

    @pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
    def test_equals_a_naive_reference(self, context, density):
        made = Ties(Ties.Config(density=density, scale=1.5)).compose(context)
        for site, delta in made.tensors.items():
            deltas = [factors_of(e)[site].delta().numpy() for e in context.experts.values()]
            torch.testing.assert_close(delta, torch.tensor(naive_ties(deltas, density) * 1.5))

    def test_one_expert_untrimmed_is_its_delta(self, context):
        name, expert = next(iter(context.experts.items()))
        made = Ties(Ties.Config(density=1.0)).compose(context._replace(experts={name: expert}))
        assert torch.equal(made.tensors[SITE], factors_of(expert)[SITE].delta())


class TestMean(Merging):
    @pytest.fixture
    def composer(self):
        return Mean()

    def test_is_the_mean_of_the_deltas(self, context):
        made = Mean(Mean.Config(scale=1.5)).compose(context)
        for site, delta in made.tensors.items():
            deltas = [factors_of(e)[site].delta() for e in context.experts.values()]
            torch.testing.assert_close(delta, torch.stack(deltas).mean(0) * 1.5)

    def test_equals_routing_to_all_with_equal_weights(self, context):
        made, router = Mean().compose(context), Random(Random.Config(k=len(DOMAINS)))
        ids = torch.arange(24).reshape(2, 12)
        with attach(context.base.model, Mean(), made, context.experts), torch.no_grad():
            merged = context.base.model(ids).logits
        routed = router.compose(context)
        with attach(context.base.model, router, routed, context.experts), torch.no_grad():
            assert_close(context.base.model(ids).logits, merged)

    def test_order_of_experts_changes_no_bit(self, context):
        turned = context._replace(experts=dict(reversed(context.experts.items())))
        made, other = Mean().compose(context), Mean().compose(turned)
        assert all(torch.equal(made.tensors[site], other.tensors[site]) for site in made.tensors)


def naive_ties(deltas, density):
    """Return the merge entry by entry, in plain Python."""
    trimmed = []
    for delta in deltas:
        keep = int(density * delta.size)
        flat = delta.flatten().tolist()
        best = sorted(range(len(flat)), key=lambda i: -abs(flat[i]))[:keep]
        only = np.zeros(len(flat), dtype=np.float32)
        only[best] = delta.flatten()[best]
        trimmed.append(only)
    merged = []
    for values in zip(*trimmed, strict=True):
        sign = 1 if sum(values) >= 0 else -1
        same = [v for v in values if v * sign > 0]
        merged.append(sum(same) / len(same) if same else 0.0)
    return np.array(merged, dtype=np.float32).reshape(deltas[0].shape)


class TestDare(Merging):
    @pytest.fixture
    def composer(self):
        return Dare()

    def test_equals_a_naive_reference(self, context):
        made = Dare(Dare.Config(density=0.3)).compose(context)
        for site, delta in made.tensors.items():
            expected = torch.zeros_like(delta)
            for name, expert in context.experts.items():
                own = factors_of(expert)[site].delta()
                mask = kept(own.shape, 0.3, context.seed, site, name)
                expected += torch.where(mask, own / 0.3, 0.0) / 3
            torch.testing.assert_close(delta, expected)

    def test_keeps_the_asked_share_and_the_mean(self):
        mask = kept(torch.Size([400, 400]), 0.3, 0, "a", "b")
        assert abs(mask.float().mean() - 0.3) < 0.005

    def test_drops_depend_on_seed_site_and_expert(self):
        one = kept(torch.Size([64]), 0.5, 0, "a", "b")
        for other in [(1, "a", "b"), (0, "c", "b"), (0, "a", "c")]:
            assert not torch.equal(one, kept(torch.Size([64]), 0.5, *other))

    def test_order_of_experts_changes_no_bit(self, context):
        turned = context._replace(experts=dict(reversed(context.experts.items())))
        one, other = (Dare().compose(c).tensors[SITE] for c in (context, turned))
        assert torch.equal(one, other)

    def test_nothing_dropped_is_the_weighted_sum(self, context):
        made = Dare(Dare.Config(density=1.0, weight=0.7)).compose(context)
        deltas = [factors_of(expert)[SITE].delta() for expert in context.experts.values()]
        torch.testing.assert_close(made.tensors[SITE], 0.7 * sum(deltas))


class TestInstance(Merging):
    @pytest.fixture
    def composer(self):
        return Instance()

    def test_is_the_adapter_it_trained(self, composer, composition, context):
        model, ids = context.base.model, torch.arange(9)[None]
        path = str(composition.owned["instance"])
        with torch.no_grad():
            expected = PeftModel.from_pretrained(copy.deepcopy(model), path)(ids).logits
            with attach(model, composer, composition, {}):
                assert_close(model(ids).logits, expected)

    def test_needs_data(self, composer, context):
        with pytest.raises(CompositionError, match="needs examples"):
            composer.compose(context._replace(data=[]))

    def test_needs_a_trainer(self, composer, context):
        with pytest.raises(CompositionError, match="needs a trainer"):
            composer.compose(context._replace(trainer=None))


# --- both static merges -----------------------------------------------------------------------


MERGES = [Ties, Dare]


class TestBoth(Merging):
    @pytest.fixture(params=MERGES)
    def composer(self, request):
        return request.param(request.param.Config(rank=3))

    def test_does_not_depend_on_how_deltas_are_factored(self, composer, context, tmp_path):
        composer = type(composer)()
        before = composer.compose(context).tensors
        regauged = {
            name: Expert(name, _regauge(expert.path, tmp_path / f"new-{name}"))
            for name, expert in context.experts.items()
        }
        after = composer.compose(context._replace(experts=regauged)).tensors
        for site, delta in before.items():
            # Rounding may move an entry over TIES's threshold or sign; all others must agree.
            near = (after[site] - delta).abs() < 1e-5 * delta.abs().max()
            assert near.float().mean() > 0.995, site

    def test_applied_to_the_weights(self, composer, context):
        composer = type(composer)()
        made = composer.compose(context)
        weight = context.base.model.get_submodule(SITE).weight
        with attach(context.base.model, composer, made, {}):
            now = context.base.model.get_submodule(SITE).weight
            torch.testing.assert_close(now, weight + made.tensors[SITE])

    def test_full_rank_loses_nothing(self, composer, context):
        exact = type(composer)().compose(context)
        low = type(composer)(composer.Config(rank=48)).compose(context)
        for site, delta in composer.deltas(low).items():
            torch.testing.assert_close(delta, exact.tensors[site], atol=1e-5, rtol=1e-4)
        assert low.report["discarded_energy"] < 1e-9
        assert exact.report["discarded_energy"] == 0

    def test_low_rank_tells_what_it_lost(self, composer, context):
        exact, low = type(composer)().compose(context), composer.compose(context)
        deltas = composer.deltas(low)
        lost = sum(float((deltas[s] - d).pow(2).sum()) for s, d in exact.tensors.items())
        whole = sum(float(d.pow(2).sum()) for d in exact.tensors.values())
        assert 0.05 < low.report["discarded_energy"] == pytest.approx(lost / whole, rel=1e-3)
        assert len(deltas) == len(exact.tensors)
        assert low.report["stored_parameters"] < exact.report["stored_parameters"]

    def test_expert_without_a_layer_adds_zeros(self, composer, context, tmp_path):
        path = random_adapter(context.base.model, tmp_path / "q", targets=("q_proj",), seed=8)
        experts = {**context.experts, "facts": Expert("facts", path)}
        composer = type(composer)(composer.Config(density=1.0))
        made = composer.compose(context._replace(experts=experts))
        assert set(made.tensors) == {s for e in experts.values() for s in factors_of(e)}

    def test_bfloat16_bases_get_bfloat16_deltas(self, composer, context):
        context.base.model.bfloat16()
        made = type(composer)().compose(context)
        assert {tensor.dtype for tensor in made.tensors.values()} == {torch.bfloat16}

    def test_factorwise_depends_on_how_deltas_are_factored(self, composer, context, tmp_path):
        composer = type(composer)(composer.Config(factorwise=True))
        before, after = {}, {}
        for i, name in enumerate(context.experts):
            path = random_adapter(context.base.model, tmp_path / f"equal-{name}", r=4, seed=i)
            before[name] = Expert(name, path)
            after[name] = Expert(name, _regauge(path, tmp_path / f"new-{name}"))
        one, other = (
            composer.compose(context._replace(experts=experts)).tensors[SITE]
            for experts in (before, after)
        )
        assert ((one - other).abs() > 1e-2 * one.abs().max()).float().mean() > 0.2

    def test_factorwise_needs_equal_ranks(self, composer, context):
        with pytest.raises(CompositionError, match="same rank"):
            type(composer)(composer.Config(factorwise=True)).compose(context)


def _regauge(path, to):
    """Write the same deltas with B → B R and A → R⁻¹ A."""
    tensors = load_file(path / WEIGHTS)
    for key in [k for k in tensors if "lora_A" in k]:
        rank = tensors[key].shape[0]
        r = torch.eye(rank, dtype=torch.float64) + 0.5 * torch.ones(rank, rank).triu(1)
        other = key.replace("lora_A", "lora_B")
        tensors[key] = (torch.linalg.inv(r) @ tensors[key].double()).float().contiguous()
        tensors[other] = (tensors[other].double() @ r).float().contiguous()
    to.mkdir()
    save_file(tensors, to / WEIGHTS)
    for file in path.glob("*.json"):
        (to / file.name).write_text(json.dumps(json.loads(file.read_text())))
    return to


def test_factorwise_ties_is_pefts(tmp_path):
    from selfmoe.contracts.composer import ComposeContext
    from selfmoe.models.fitting.loop import Fit
    from selfmoe.testing.models import tiny_base

    base = tiny_base()
    paths = {n: random_adapter(base.model, tmp_path / n, seed=i) for i, n in enumerate("abc")}
    experts = {name: Expert(name, path) for name, path in paths.items()}
    context = ComposeContext(base, experts, (), None, Fit(), 0, tmp_path, reference)
    made = Ties(Ties.Config(factorwise=True, density=0.4)).compose(context)
    model = copy.deepcopy(base.model)
    peft = PeftModel.from_pretrained(model, str(paths["a"]), adapter_name="a")
    for name in "bc":
        peft.load_adapter(str(paths[name]), adapter_name=name)
    peft.add_weighted_adapter(list("abc"), [1.0] * 3, "m", combination_type="ties", density=0.4)
    layer = peft.base_model.model.get_submodule(SITE)
    torch.testing.assert_close(
        made.tensors[SITE], layer.get_delta_weight("m"), rtol=1e-4, atol=1e-5
    )


def test_truncation_is_the_best_approximation():
    matrix = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    low = truncate(matrix, 2)
    s = torch.linalg.svdvals(matrix)
    assert low.a.shape == (2, 6) and low.b.shape == (9, 2)
    assert float((matrix - low.b @ low.a).pow(2).sum()) == pytest.approx(low.discarded, rel=1e-4)
    assert low.discarded == pytest.approx(float(s[2:].pow(2).sum()), rel=1e-4)
