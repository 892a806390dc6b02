"""The past of a forward is found whatever its name and kind, or the mixture refuses it."""

from __future__ import annotations

import inspect

import pytest
import torch
from transformers import (
    DynamicCache,
    Mamba2Config,
    Mamba2ForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
)
from transformers.cache_utils import StaticCache

from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.contracts.records import Expert
from selfmoe.mixture import handle, runtime
from selfmoe.mixture.compose import compose
from selfmoe.mixture.forward import memory, scope
from selfmoe.mixture.forward.caches import cache_in, cache_of, past_length
from selfmoe.mixture.runtime import attach
from selfmoe.models.caches import NAMES, cache_name
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.composers import assert_close
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_tokenizer
from selfmoe.testing.routing import random_theta, refer, tokens
from selfmoe_router_random import Random
from selfmoe_router_sequence import Sequence
from selfmoe_router_topk import TopK
from selfmoe_router_xlora import XLora

ROUTERS = {
    "topk": (TopK, {"k": 1}, "theta"),
    "random": (Random, {"k": 1}, None),
    "xlora": (XLora, {"k": 2, "bias": False}, "weight"),
    "sequence": (Sequence, {"k": 1}, "theta"),
    "sequence-base": (Sequence, {"k": 1, "inputs": "base"}, "theta"),
}
KEEPING = ("xlora", "sequence", "sequence-base")


def routed(model, experts, name, **how):
    router, options, tensor = ROUTERS[name]
    composer = router(router.Config(**options))
    made = {tensor: random_theta(len(experts), std=1.0)} if tensor else {"seed": torch.tensor([3])}
    told = composer.options.model_dump(mode="json")
    return attach(model, composer, refer(experts, tensors=made, options=told), experts, **how)


class Pages:
    """A past that no one knows, as engines hand over."""


class PagedCache(Pages):
    """The same, by a name that says it."""


# --- finding it -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, "history", "past_of_mine"])
def test_a_cache_is_found_under_any_name(name):
    cache = DynamicCache()
    arguments = {"input_ids": tokens(), "use_cache": True, name: cache, "attention_mask": None}
    assert cache_of(arguments) is cache


@pytest.mark.parametrize("name", [*NAMES, "state", "mems", "past_buckets_states", "layer_past"])
def test_a_past_that_is_no_cache_is_found_by_its_name(name):
    past = [torch.ones(2)]
    assert cache_of({name: past}) is past


def test_what_is_no_past_is_none():
    plain = {
        "use_cache": True,
        "cache_position": torch.arange(3),
        "cache": None,
        "labels": tokens(),
    }
    assert cache_of(plain) is None
    assert cache_of({}) is None


def test_the_same_cache_twice_is_one_and_two_are_refused():
    cache = DynamicCache()
    assert cache_of({"cache": cache, "past_key_values": cache}) is cache
    with pytest.raises(NotSupportedError, match=r"several caches \(cache, memory\)"):
        cache_of({"cache": cache, "memory": DynamicCache()})


def test_the_name_is_that_of_the_forward(model):
    stack = model.base_model
    assert cache_name(stack) in inspect.signature(stack.forward).parameters
    assert cache_name(torch.nn.Linear(2, 2)) is None


@torch.no_grad()
def test_lengths(llama):
    assert past_length(None) == past_length(DynamicCache()) == 0
    cache = cache_in(llama.base_model(input_ids=tokens(2, 9), use_cache=True))
    assert past_length(cache) == 9
    fixed = StaticCache(llama.config, max_cache_len=20)
    assert past_length(fixed) == 0
    assert past_length(Pages()) is None


# --- what nobody knows ------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize(
    ("past", "called"),
    [
        ({"cache": Pages()}, "Pages"),
        ({"pages": PagedCache()}, "PagedCache"),
        ({"state": [1]}, "list"),
        ({"mems": (1,)}, "tuple"),
        ({"past_key_values": ((1, 2),)}, "tuple"),
        ({"kv_cache": {"keys": 1}}, "dict"),
    ],
)
def test_an_unknown_past_is_refused_by_routers_that_keep_state(
    llama, llama_experts, name, past, called
):
    with (
        routed(llama, llama_experts, name),
        pytest.raises(NotSupportedError, match=f"cannot with {called}; run the model without"),
    ):
        llama.base_model(input_ids=tokens(), **past)


@torch.no_grad()
def test_positions_are_not_made_up(llama, llama_experts):
    """Where a past cannot tell its length, neither positions nor prompts are known."""
    given = {"input_ids": tokens(), "pages": PagedCache()}
    assert scope.token_info(given, scope.Annotation()).position_ids is None
    places = torch.arange(11)[None] + 4
    told = scope.token_info({**given, "position_ids": places}, scope.Annotation())
    assert torch.equal(told.position_ids, places.expand(2, -1))
    wide = scope.token_info({**given, "attention_mask": torch.ones(2, 15)}, scope.Annotation())
    assert wide.position_ids[0].tolist() == list(range(4, 15))
    with pytest.raises(NotSupportedError, match="cannot be followed with PagedCache"):
        scope.token_info(given, scope.Annotation(prompt_mask=torch.ones(2, 15).bool()))
    with (
        routed(llama, llama_experts, "random"),
        pytest.raises(NotSupportedError, match="position"),
    ):
        llama.base_model(**given)


@pytest.fixture(scope="module")
def rwkv():
    """Return a tiny RWKV, which keeps its past in a list."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "attention_hidden_size": 32, "intermediate_size": 48}
        config = RwkvConfig(
            vocab_size=288, num_hidden_layers=2, context_length=512, eos_token_id=256, **sizes
        )
        return RwkvForCausalLM(config).eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["xlora", "sequence"])
def test_what_could_not_be_decoded_is_not_learnt(rwkv, name, tmp_path, monkeypatch):
    """A router that keeps state with the cache is refused before it is trained."""
    targets = ["key", "value", "receptance"]
    paths = {str(i): random_adapter(rwkv, tmp_path / f"{i}", targets=targets) for i in range(2)}
    monkeypatch.setattr(Fit, "__call__", lambda *given, **named: pytest.fail("it is trained"))
    with pytest.raises(NotSupportedError, match="cannot with state; run the model without"):
        compose(rwkv, paths, router=name, data=tiny_examples(4), tokenizer=tiny_tokenizer())
    compose(rwkv, paths, router="topk")


# --- state spaces: a cache that does not count ------------------------------------------------


@pytest.fixture(scope="module")
def mamba():
    """Return a tiny Mamba-2; none of its layers counts tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = Mamba2Config(
            vocab_size=288,
            hidden_size=32,
            num_hidden_layers=3,
            num_heads=8,
            head_dim=8,
            state_size=8,
            n_groups=1,
            chunk_size=16,
            expand=2,
            initializer_range=0.15,
            bos_token_id=None,
            eos_token_id=256,
            pad_token_id=257,
        )
        return Mamba2ForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def mamba_experts(mamba, tmp_path_factory):
    """Return three experts on it."""
    folder = tmp_path_factory.mktemp("mamba")
    made = (random_adapter(mamba, folder / str(i), seed=i, targets=["in_proj"]) for i in range(3))
    return {str(i): Expert(str(i), path) for i, path in enumerate(made)}


@torch.no_grad()
@pytest.mark.parametrize("name", ROUTERS)
def test_a_cache_that_does_not_count_is_counted(mamba, mamba_experts, name):
    ids = tokens(2, 12)
    parameter = cache_name(mamba.base_model)
    with routed(mamba, mamba_experts, name) as mixture:
        with mixture.annotate(prompt_mask=(torch.arange(12) < 5).expand_as(ids)):
            with mixture.record() as whole:
                expected = mamba.base_model(input_ids=ids, use_cache=False)[0]
            with mixture.record() as parts:
                out = mamba.base_model(input_ids=ids[:, :5], use_cache=True)
                found = [out[0]]
                for i in range(5, 12):
                    cached = {parameter: cache_in(out), "use_cache": True}
                    out = mamba.base_model(input_ids=ids[:, i : i + 1], **cached)
                    found.append(out[0])
        assert_close(torch.cat(found, 1), expected)
        for part in ("all", "prompt", "response"):
            assert parts.tokens(part) == whole.tokens(part)
            assert_close(parts.mean(part), whole.mean(part))


@torch.no_grad()
@pytest.mark.parametrize("name", ["topk", *KEEPING])
def test_state_spaces_generate_with_a_cache_what_they_do_without(mamba, mamba_experts, name):
    ids = tokens(1, 7)
    how = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 257}
    with routed(mamba, mamba_experts, name) as mixture:
        mask = torch.ones_like(ids)
        with mixture.annotate(prompt_mask=mask.bool()):
            expected = mamba.generate(ids, attention_mask=mask, use_cache=False, **how)
        assert torch.equal(mamba.generate(ids, attention_mask=mask, **how), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", KEEPING)
def test_a_state_that_the_mixture_has_not_seen_is_refused(mamba, mamba_experts, name):
    cache = cache_in(mamba.base_model(input_ids=tokens(), use_cache=True))
    step = {cache_name(mamba.base_model): cache, "use_cache": True}
    with (
        routed(mamba, mamba_experts, name),
        pytest.raises(CompositionError, match="some tokens that this mixture has not seen"),
    ):
        mamba.base_model(input_ids=tokens(2, 1), **step)


# --- the check of two tokens ------------------------------------------------------------------


def lose(arguments):
    """Find no cache, as code that knows an older name does."""
    return


@pytest.mark.parametrize("name", KEEPING)
def test_a_past_that_is_lost_is_noticed_when_a_mixture_is_attached(
    llama, llama_experts, name, monkeypatch
):
    for module in (memory, handle, scope):
        monkeypatch.setattr(module, "cache_of", lose)
    monkeypatch.setattr(memory, "followed_cache", lose)
    before = set(vars(llama))
    with pytest.raises(CompositionError, match=r"transformers \d+\.\d+.*check=False"):
        routed(llama, llama_experts, name)
    assert set(vars(llama)) == before
    routed(llama, llama_experts, name, check=False).detach()


def test_positions_that_begin_anew_are_noticed(llama, llama_experts, monkeypatch):
    monkeypatch.setattr(scope, "known_length", lambda cache, owner: 0)
    mask = {"attention_mask": None}
    monkeypatch.setattr(
        handle, "token_info", lambda given, *rest: scope.token_info({**given, **mask}, *rest)
    )
    with pytest.raises(CompositionError, match="the position that the router is told"):
        routed(llama, llama_experts, "random")


def test_a_base_that_reads_otherwise_with_a_cache_is_noticed(llama, llama_experts):
    """Whatever the router: here a block that forgets the past."""
    attention = llama.model.layers[1].self_attn
    forget = dict.fromkeys(NAMES)
    handle = attention.register_forward_pre_hook(
        lambda module, args, kwargs: (
            args,
            {**kwargs, **{n: forget.get(n, x) for n, x in kwargs.items()}},
        ),
        with_kwargs=True,
    )
    for name in ROUTERS:
        with pytest.raises(CompositionError, match="the second of two tokens"):
            routed(llama, llama_experts, name)
    handle.remove()


@torch.no_grad()
def test_the_check_leaves_no_trace(model, mixed):
    torch.manual_seed(5)
    state, training = torch.random.get_rng_state(), [m.training for m in model.modules()]
    model.train()
    with routed(model, mixed, "topk") as mixture:
        assert all(module.training for module in model.modules() if module is not mixture.gate)
        assert mixture.running.said is mixture.running.record is None
    model.eval()
    assert training == [m.training for m in model.modules()]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_model_without_a_cache_is_not_checked(llama, llama_experts, monkeypatch):
    """Nor one that cannot be read with it: both say so when they are asked for one."""
    forward = llama.model.forward
    monkeypatch.setattr(
        llama.model, "forward", lambda *a, use_cache=None, **k: forward(*a, use_cache=False, **k)
    )
    routed(llama, llama_experts, "xlora").detach()


def test_compose_passes_it_on(llama, llama_experts, monkeypatch):
    asked = []
    monkeypatch.setattr(runtime, "check_cache", lambda *arguments: asked.append(arguments))
    experts = {name: expert.path for name, expert in llama_experts.items()}
    compose(llama, experts, router="uniform")
    compose(llama, experts, router="uniform", check=False)
    assert len(asked) == 1
