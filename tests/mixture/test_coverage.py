"""Which linears of a base a router can weigh, told from what they are given and not from names."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Expert, LoadedBase
from selfmoe.mixture.adapters import Factors, write_factors
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.sites.coverage import CHOOSES, coverage_of, described
from selfmoe.mixture.sites.tokenwise import (
    ASIDE,
    ELSEWHERE,
    IDLE,
    NO_PRODUCT,
    OUTSIDE,
    PARTLY,
    PAST,
    SOME,
    STREAMS,
    examine,
)
from selfmoe.mixture.storage import reference
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import Decoder, find_decoder, linears, widths
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import fingerprint, logits, tokens
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter
from selfmoe.testing.routing import random_theta, refer
from selfmoe.testing.sparse import SPARSE
from selfmoe_router_topk import TopK


def coverage(model, blocks=None):
    return coverage_of(LoadedBase("tiny", model, None, "", 512, blocks))


# --- families -----------------------------------------------------------------------------------

LEFT_OUT = {
    "deepseek_v3": {"self_attn.kv_b_proj": PAST},
    "phimoe": {"mlp.router": NO_PRODUCT},
    "jamba": {"mamba.dt_proj": IDLE},
    "gemma3n": {
        "altup.correction_coefs": PARTLY,
        "model.altup_projections.*": OUTSIDE,
        "model.altup_unembed_projections.*": OUTSIDE,
        "model.per_layer_model_projection": OUTSIDE,
    },
    "gemma4": {"model.per_layer_model_projection": OUTSIDE},
    "opt-narrow": {"model.decoder.project_in": OUTSIDE, "model.decoder.project_out": OUTSIDE},
}


@pytest.mark.parametrize("family", SPARSE)
def test_families_with_more_than_attention_and_mlp(family):
    found = coverage(tiny_model(family))
    assert {name.rpartition(".")[2] for name in found.routed} == set(SPARSE[family].targets)
    reasons = {found.kind(name): why for name, why in found.reasons.items() if why}
    assert reasons == {"lm_head": ASIDE, **LEFT_OUT.get(family, {})}
    sparse = family not in ("gemma3n", "gemma4", "opt-narrow")
    assert (found.share(found.routed) < 0.9) == sparse


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_families_are_covered_whole(family):
    model = tiny_model(family)
    found, path = coverage(model), find_decoder(model).path
    assert list(found.routed) == [name for name in linears(model) if name.startswith(f"{path}.")]
    assert found.share(found.routed) == 1
    (line,) = described(found, found.routed)
    assert "100.0 % of the weights of the decoder blocks" in line


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("family", ["llama", "deepseek_v3", "jamba", "gemma3n"])
def test_a_model_is_left_as_it_was(family, training):
    model = tiny_model(family).train(training)
    model.get_submodule(find_decoder(model).path)[1].eval()
    before, random = fingerprint(model), torch.get_rng_state()
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    examine(model, find_decoder(model), training=True)
    assert fingerprint(model) == before
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), random)


def test_what_is_left_out_is_said():
    found = coverage(tiny_model("deepseek_v3"))
    first, others, past = described(found, found.routed)
    assert first.startswith("Experts: LoRA on self_attn.q_a_proj, self_attn.q_b_proj")
    assert "mlp.experts.gate_up_proj" in others
    assert "no linears" in others
    assert past == f"  not on self_attn.kv_b_proj: {PAST}"
    share = float(first.rpartition(": ")[2].split()[0]) / 100
    assert 0 < share < 1
    assert math.isclose(share, found.share(found.routed), abs_tol=1e-3)


def test_some_of_a_kind_are_told_from_all():
    found = coverage(tiny_model("llama"))
    some = [name for name in found.routed if not name.endswith("1.self_attn.k_proj")]
    assert list(described(found, some))[1] == "  not on self_attn.k_proj of some: not asked for"


# --- structures, each with one linear of another kind ------------------------------------------


class Block(nn.Module):
    """Two linears for every token, and what a subclass does between them."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, hidden_states, past=None):
        return hidden_states + self.last(self.between(self.first(hidden_states), past))

    def between(self, x, past):
        return x


class Stack(nn.Module):
    """Runs blocks, and hands on what they were given as its past."""

    def __init__(self, kind):
        super().__init__()
        self.embed, self.layers = nn.Embedding(64, 8), nn.ModuleList([kind(), kind()])
        self.into, self.idle = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, input_ids, use_cache=True, past=None):
        hidden = self.into(self.embed(input_ids))
        past = hidden if past is None else torch.cat([past, hidden], 1)
        for block in self.layers:
            hidden = self.leaving(block(self.entering(hidden), past=past))
        return {"last_hidden_state": hidden, "past": past if use_cache else None}

    def entering(self, hidden):
        return hidden

    def leaving(self, hidden):
        return hidden


class Streams(Stack):
    def entering(self, hidden):
        return hidden[None].expand(3, *hidden.shape)

    def leaving(self, hidden):
        return hidden.mean(0)


class Experts(Block):
    """A list of experts, of which a token uses one; the first one all but one token."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.ModuleDict({"up": nn.Linear(8, 8)}) for _ in range(3))

    def between(self, x, past):
        flat = x.reshape(-1, 8).clone()
        chosen = torch.zeros(len(flat), dtype=torch.long)
        if len(flat) > 6:
            chosen[5] = 2
        for number, expert in enumerate(self.experts):
            if (chosen == number).any():
                flat[chosen == number] = expert["up"](flat[chosen == number])
        return flat.view_as(x)


class Router(Block):
    """Experts that are stacked weights, and a linear that chooses among them."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.stacked = nn.Parameter(torch.randn(4, 8, 8))

    def between(self, x, past):
        return torch.einsum("btd,edo,bte->bto", x, self.stacked, self.gate(x).softmax(-1))


class One(Block):
    """One linear more, used as a subclass says."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(8, 8)


class Twice(One):
    def between(self, x, past):
        return self.other(self.other(x))


class Flat(One):
    def between(self, x, past):
        return self.other(x.reshape(-1, 8)).view_as(x)


class Latent(One):
    def between(self, x, past):
        return x + self.other(past).mean(1, keepdim=True)


class Idle(One):
    def between(self, x, past):
        return x @ self.other.weight


class Fused(One):
    def between(self, x, past):
        return x @ self.other.weight if self.training else self.other(x)


class Cached(One):
    def between(self, x, past):
        return self.other(x) if x.shape[1] > 1 else x @ self.other.weight


class Turned(One):
    def between(self, x, past):
        return self.other(x.transpose(0, 1)).transpose(0, 1)


class Halves(One):
    def between(self, x, past):
        return torch.cat([self.other(x[:, :1]), x[:, 1:]], 1)


class Heads(One):
    def between(self, x, past):
        return self.other(x[..., None, :].expand(*x.shape[:2], 2, 8)).mean(2)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), None


class Tuple(One):
    def __init__(self):
        super().__init__()
        self.other = Pair(8, 8)

    def between(self, x, past):
        return self.other(x)[0]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Twice, None),
        (Flat, None),
        (Latent, PAST),
        (Idle, IDLE),
        (Fused, PARTLY),
        (Cached, PARTLY),
        (Turned, SOME),
        (Halves, SOME),
        (Heads, SOME),
        (Tuple, NO_PRODUCT),
    ],
)
def test_a_linear_is_judged_by_what_it_is_given(kind, reason):
    found = seen(Stack(kind))
    assert found["layers.0.other"] == found["layers.1.other"] == reason
    assert found["layers.0.first"] is found["layers.1.last"] is None
    assert found["into"] == OUTSIDE
    assert found["idle"] == ASIDE


def seen(stack):
    model = nn.Module()
    model.add_module("model", stack)
    found = examine(model, Decoder(stack, "model.layers", stack.layers), training=True)
    return {name.removeprefix("model."): reason for name, reason in found.items()}


def test_experts_in_a_list_are_alike_even_if_one_is_given_all_tokens():
    found = seen(Stack(Experts))
    assert {found[f"layers.{b}.experts.{e}.up"] for b in (0, 1) for e in (0, 1, 2)} == {SOME}
    assert found["layers.1.first"] is None


def test_several_streams_are_not_one_state_a_token():
    found = seen(Streams(Block))
    assert found["layers.0.first"] == STREAMS


def test_a_linear_of_another_block_is_not_this_ones():
    stack = Stack(One)
    stack.layers[1].between = lambda x, past: stack.layers[0].other(x)
    assert seen(stack)["layers.0.other"] == ELSEWHERE


def test_what_chooses_among_stacked_weights_is_left_out():
    model = tiny_model("llama")
    for layer in model.model.layers:
        layer.mlp = Routing(model.config.hidden_size)
    found = coverage(model)
    assert found.choosers == {f"model.layers.{i}.mlp.gate" for i in range(3)}
    assert not found.choosers & set(found.routed)
    assert f"  not on mlp.gate: {CHOOSES}" in list(described(found, found.routed))


class Routing(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gate = nn.Linear(width, 5)
        self.weights = nn.Parameter(torch.randn(5, width, width) * 0.1)

    def forward(self, x):
        return torch.einsum("btd,edo,bte->bto", x, self.weights, self.gate(x).softmax(-1))


# --- attaching ----------------------------------------------------------------------------------


def on(model, folder, *sites):
    """Return two experts that change these linears."""
    some = next(name for name, reason in examine(model, find_decoder(model)).items() if not reason)
    like = random_adapter(model, folder / "like", r=2, targets=[some])
    experts = {}
    for seed, name in enumerate(("math", "coding")):
        generator = torch.Generator().manual_seed(seed)
        factors = {}
        for site in sites:
            wide, out = widths(linears(model)[site])
            a = torch.randn(2, wide, generator=generator)
            factors[site] = Factors(a, torch.randn(out, 2, generator=generator), 1.0)
        experts[name] = Expert(name, write_factors(folder / name, factors, like=like))
    return experts


def routed(model, experts):
    made = refer(experts, tensors={"theta": random_theta(len(experts))}, options={"k": 1})
    return attach(model, TopK(), made, experts)


@pytest.mark.parametrize(
    ("family", "site", "reason"),
    [
        ("deepseek_v3", "model.layers.1.self_attn.kv_b_proj", "is applied anew to all cached"),
        ("phimoe", "model.layers.0.mlp.router", "gives something else than its product"),
        ("opt-narrow", "model.decoder.project_in", r"outside .* \(model.decoder.layers\)"),
        ("gemma3n", "model.altup_projections.1", r"outside .* \(model.layers\)"),
        ("gemma4", "model.per_layer_model_projection", r"outside .* \(model.layers\)"),
        ("llama", "lm_head", r"lies outside the decoder blocks \(model.layers\); a router"),
    ],
)
def test_adapters_from_outside_are_refused_with_the_reason(family, site, reason, tmp_path):
    model = tiny_model(family)
    before = fingerprint(model)
    with pytest.raises(CompositionError, match=f"expert math, coding changes {site}, .*{reason}"):
        routed(model, on(model, tmp_path, site))
    assert fingerprint(model) == before


@torch.no_grad()
def test_merges_take_what_no_router_can_weigh(tmp_path):
    model, site = tiny_model("deepseek_v3"), "model.layers.1.self_attn.kv_b_proj"
    experts = on(model, tmp_path, site)
    plain = logits(model, tokens())
    base = LoadedBase("tiny", model, None, "", 512)
    composer = registry().configure("merge", "mean", {})
    made = composer.compose(ComposeContext(base, experts, (), None, Fit(), 0, tmp_path, reference))
    with attach(model, composer, made, experts):
        assert not torch.equal(logits(model, tokens()), plain)


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "site"), [("jamba", "model.layers.0.mamba.dt_proj")], ids=["never run"]
)
def test_a_lora_that_changes_nothing_is_no_reason_to_refuse(family, site, tmp_path):
    model = tiny_model(family)
    plain = logits(model, tokens())
    with routed(model, on(model, tmp_path, site)):
        assert torch.equal(logits(model, tokens()), plain)
