"""What gates keep with a KV cache follows it: a second pass of the base, a decision a sequence.

Tests that use the fixture ``model`` run on every family of decoders.
"""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from transformers import DynamicCache, StaticCache

from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.forward.companions import CompanionCache, past_length
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import model_hash
from selfmoe.models.generation import generate
from selfmoe.models.structure import find_decoder, linears
from selfmoe.testing.composers import assert_close
from selfmoe.testing.models import tiny_tokenizer
from selfmoe.testing.reference import naive_mixture
from selfmoe.testing.routing import logits, random_theta, refer, tokens
from selfmoe_router_sequence import Sequence
from selfmoe_router_xlora import XLora

TOKEN, BLOCK = {"k": 2, "bias": False}, {"k": 1, "bias": False, "layerwise": True}
ROUTERS = {
    "xlora": (XLora, TOKEN),
    "xlora-layerwise": (XLora, BLOCK),
    "sequence": (Sequence, {"k": 2}),
    "sequence-base": (Sequence, {"k": 2, "inputs": "base"}),
}
PROMPT = 10


def routed(model, experts, name, **options):
    """Attach a router with random weights."""
    router, chosen = ROUTERS[name]
    composer = router(router.Config(**{**chosen, **options}))
    theta = random_theta(3, std=0.5)
    if name == "xlora-layerwise":
        theta = torch.stack([theta, theta.roll(1, 0), theta.flip(0)], dim=1)
    tensors = {"theta" if router is Sequence else "weight": theta}
    told = composer.options.model_dump(mode="json")
    return attach(model, composer, refer(experts, tensors=tensors, options=told), experts)


@pytest.fixture(params=list(ROUTERS))
def router(request):
    """Return the name of a router that keeps something with the cache."""
    return request.param


@pytest.fixture
def mixture(router, llama, llama_experts):
    """Return it, attached to a tiny Llama."""
    with routed(llama, llama_experts, router) as mixture:
        yield mixture


def prompted(mixture, ids, prompt=PROMPT):
    """Say that the first tokens are prompts."""
    return mixture.annotate(prompt_mask=(torch.arange(ids.shape[1]) < prompt).expand_as(ids))


def read(model, ids, cuts, cache=None, before=None, mask=None):
    """Return the logits of reading the tokens part by part with a cache, and the cache."""
    found = []
    mask = torch.ones_like(ids) if mask is None else mask
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    for start, end in itertools.pairwise(cuts):
        out = model(
            ids[:, start:end],
            attention_mask=mask[:, :end],
            position_ids=places[:, start:end],
            past_key_values=cache,
            use_cache=True,
        )
        cache = out.past_key_values
        found.append(out.logits)
    return torch.cat(found, 1), cache


# --- the formula ------------------------------------------------------------------------------


def base_hidden(model, ids):
    """Return what the base makes of the tokens, after its last norm."""
    out = model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    return out.hidden_states[-1]


def largest(logits, k):
    p = torch.softmax(logits, -1)
    return torch.where(p >= p.sort(-1).values[..., -k].unsqueeze(-1), p, 0.0)


def naive(model, experts, alpha):
    """Return the naive mixture with given weights by block."""
    decoder = find_decoder(model)
    factors = [factors_of(expert) for expert in experts.values()]
    return naive_mixture(decoder.blocks, linears(model), factors, alpha, decoder.path)


@torch.no_grad()
def test_a_pass_of_the_base_decides_token_by_token(model, mixed):
    ids, theta = tokens(), random_theta(3, std=0.5)
    plain, weights = logits(model, ids), largest(base_hidden(model, ids) @ theta.T, 2)
    with naive(model, mixed, lambda block, x: weights):
        expected = logits(model, ids)
    with routed(model, mixed, "xlora") as mixture, mixture.record(trace=True) as record:
        found = logits(model, ids)
    assert_close(record.traces[0].weights, weights)
    assert_close(found, expected)
    assert (expected - plain).abs().max() > 0.1 * plain.abs().max()
    assert record.tokens() == ids.numel()
    assert torch.equal(logits(model, ids), plain)


@torch.no_grad()
def test_a_layerwise_classifier_decides_block_by_block(model, mixed):
    ids, theta = tokens(), random_theta(3, std=0.5)
    hidden = base_hidden(model, ids)
    thetas = [theta, theta.roll(1, 0), theta.flip(0)]
    with naive(model, mixed, lambda block, x: largest(hidden @ thetas[block].T, 1)) as weights:
        expected = logits(model, ids)
    assert not torch.equal(weights[0], weights[1])
    with routed(model, mixed, "xlora-layerwise"):
        assert_close(logits(model, ids), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["sequence", "sequence-base"])
def test_the_mean_of_the_prompt_decides_once(model, mixed, name):
    ids, theta = tokens(), random_theta(3, std=0.5)
    entered = []
    handle = (
        find_decoder(model)
        .blocks[0]
        .register_forward_pre_hook(
            lambda block, args, kwargs: entered.append(
                args[0] if args else kwargs["hidden_states"]
            ),
            with_kwargs=True,
        )
    )
    hidden = base_hidden(model, ids)
    handle.remove()
    mean = (hidden if name == "sequence-base" else entered[0])[:, :4].mean(1, keepdim=True)
    mean = mean / (mean.pow(2).mean(-1, True) + 1e-6).sqrt()
    weights = largest(mean @ theta.T, 2).expand(-1, ids.shape[1], -1)
    with naive(model, mixed, lambda block, x: weights):
        expected = logits(model, ids)
    with routed(model, mixed, name) as mixture, prompted(mixture, ids, 4):
        assert_close(logits(model, ids), expected)


# --- cached is uncached -----------------------------------------------------------------------


def test_cached_is_uncached_with_autograd(mixture, llama):
    ids = tokens(2, 15)
    mixture.gate.requires_grad_(True)
    with prompted(mixture, ids):
        whole = logits(llama, ids)
    found, cache = read(llama, ids, [0, PROMPT, 12, 15])
    assert_close(found.detach(), whole.detach())
    assert not any(t.requires_grad for t in vars(cache.layers[-1]).values() if torch.is_tensor(t))


@torch.no_grad()
@pytest.mark.parametrize("padding", [0, 3])
def test_cached_is_uncached(model, experts, router, padding):
    ids = tokens(2, 17)  # longer than any window of the families
    mask = torch.ones_like(ids)
    mask[0, :padding] = 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    with routed(model, experts, router) as mixture:
        with prompted(mixture, ids), mixture.record() as record:
            whole = logits(model, ids, mask, position_ids=places)
        with prompted(mixture, ids), mixture.record() as parts:
            found, cache = read(model, ids, [0, PROMPT, 11, 12, 17], mask=mask)
        unsaid, _ = read(model, ids, [0, PROMPT, 17], mask=mask)
    assert int(cache.get_seq_length()) == 17
    for cached in (found, unsaid):
        assert_close(cached[0, padding:], whole[0, padding:])
        assert_close(cached[1], whole[1])
    assert parts.tokens() == record.tokens() == mask.sum()
    assert_close(parts.mean(), record.mean())


@torch.no_grad()
def test_left_padding_changes_nothing(model, experts, router):
    ids = tokens(1, 8)
    padded = torch.cat([torch.full((1, 5), 257), ids], 1)
    mask = (torch.arange(13) >= 5).long()[None]
    with routed(model, experts, router):
        whole = logits(model, ids)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        shifted = logits(model, padded, mask, position_ids=positions)
    assert_close(shifted[:, 5:], whole)


def test_texts_of_a_batch_are_those_written_alone(model, experts, router):
    tokenizer = tiny_tokenizer()
    prompts = ["Add 1.", "How many legs have three spiders?", "Go"]
    with routed(model, experts, router):
        together = generate(model, tokenizer, prompts, max_new_tokens=9)
        alone = [generate(model, tokenizer, [p], max_new_tokens=9)[0] for p in prompts]
    assert together == alone
    assert len({text.text for text in together}) > 1


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt2"], indirect=True)
@pytest.mark.parametrize(
    "how",
    [
        {"num_beams": 3},
        {"num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.1},
        {"prompt_lookup_num_tokens": 3},
        {"cache_implementation": "static"},
        {"cache_implementation": "static", "num_beams": 2},
        {"return_dict_in_generate": True},
    ],
    ids=["beams", "several beams", "lookup", "static", "static beams", "cache returned"],
)
def test_generation_with_a_cache_is_that_without(model, router, experts, how):
    ids = tokens(1, 6)
    how = {**how, "max_new_tokens": 12, "do_sample": False, "suppress_tokens": [256, 257]}
    without = {k: v for k, v in how.items() if k not in ("cache_implementation",)}
    without.pop("prompt_lookup_num_tokens", None)
    asked = {"attention_mask": torch.ones_like(ids)}
    with routed(model, experts, router) as mixture, prompted(mixture, ids, 6):
        expected = model.generate(ids, **asked, **without, use_cache=False)
        found = model.generate(ids, **asked, **how)
    if "return_dict_in_generate" in how:
        found, expected = found.sequences, expected.sequences
    assert torch.equal(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"], indirect=True)
def test_padding_counts_nowhere_with_a_static_cache(model, router, experts):
    ids = tokens(1, 6)
    padded = torch.cat([torch.full((1, 5), 257), ids], 1)
    both = torch.cat([padded, tokens(1, 11, seed=8)])
    mask = (both != 257).long()
    how = {"max_new_tokens": 8, "do_sample": False, "suppress_tokens": [256, 257]}
    with routed(model, experts, router) as mixture:
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), **how)[0, 6:]
        with mixture.record() as record:
            found = model.generate(both, attention_mask=mask, cache_implementation="static", **how)[
                0, 11:
            ]
    assert torch.equal(found, expected)
    assert record.tokens() == 6 + 11 + 2 * 7


# --- what callers do to caches ----------------------------------------------------------------


def reorder(cache):
    cache.reorder_cache(torch.tensor([2, 0, 0]))
    return [2, 0, 0]


def select(cache):
    cache.batch_select_indices(torch.tensor([2, 1]))
    return [2, 1]


def select_some(cache):
    cache.batch_select_indices(torch.tensor([True, False, True]))
    return [0, 2]


def repeat(cache):
    cache.batch_repeat_interleave(2)
    return [0, 0, 1, 1, 2, 2]


@torch.no_grad()
@pytest.mark.parametrize("change", [reorder, select, select_some, repeat])
@pytest.mark.parametrize("lazy", [False, True])
def test_rows_of_the_cache(mixture, llama, change, lazy):
    ids, more = tokens(3, PROMPT), tokens(6, 5, seed=8)
    cache = DynamicCache() if lazy else DynamicCache(config=llama.config)
    _, cache = read(llama, ids, [0, PROMPT], cache)
    rows = change(cache)
    whole = torch.cat([ids[rows], more[: len(rows)]], 1)
    with prompted(mixture, whole):
        expected = logits(llama, whole)
    found, _ = read(llama, whole, [PROMPT, 12, 15], cache)
    assert_close(found, expected[:, PROMPT:])


@torch.no_grad()
def test_the_end_of_the_cache(mixture, llama):
    ids, other = tokens(2, 15), tokens(2, 15, seed=8)
    _, cache = read(llama, ids, [0, PROMPT, 15])
    cache.crop(-4)
    whole = torch.cat([ids[:, :11], other[:, 11:]], 1)
    with prompted(mixture, whole):
        expected = logits(llama, whole)
    found, cache = read(llama, whole, [11, 13, 15], cache)
    assert_close(found, expected[:, 11:])
    cache.crop(-15)  # an empty cache is one to begin with
    found, _ = read(llama, other, [0, PROMPT, 15], cache)
    with prompted(mixture, other):
        assert_close(found, logits(llama, other))


@torch.no_grad()
def test_copies_go_their_own_way(mixture, llama):
    ids, other = tokens(2, 15), tokens(2, 15, seed=8)
    _, cache = read(llama, ids, [0, PROMPT])
    twin = copy.deepcopy(cache)
    branch = torch.cat([ids[:, :PROMPT], other[:, PROMPT:]], 1)
    for whole, mine in ((branch, twin), (ids, cache)):
        with prompted(mixture, whole):
            expected = logits(llama, whole)
        found, _ = read(llama, whole, [PROMPT, 12, 15], mine)
        assert_close(found, expected[:, PROMPT:])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_a_cache_that_is_reset_begins_anew(mixture, llama, kind):
    cache = DynamicCache(config=llama.config)
    if kind == "static":
        cache = StaticCache(llama.config, max_cache_len=20)
    for seed in (3, 8):
        ids = tokens(2, 15, seed=seed)
        with prompted(mixture, ids):
            expected = logits(llama, ids)
        found, _ = read(llama, ids, [0, PROMPT, 12, 15], cache)
        assert_close(found, expected)
        cache.reset()
        kept = cache.layers[-1]
        assert not isinstance(kept, CompanionCache) or past_length(kept.cache) == 0


@torch.no_grad()
def test_a_cache_can_be_kept_while_others_are_used(mixture, llama):
    ids, other = tokens(2, 15), tokens(3, 12, seed=8)
    _, cache = read(llama, ids, [0, PROMPT])
    read(llama, other, [0, 7, 12])
    logits(llama, other)
    with prompted(mixture, ids):
        expected = logits(llama, ids)
    found, _ = read(llama, ids, [PROMPT, 15], cache)
    assert_close(found, expected[:, PROMPT:])


# --- caches that do not fit -------------------------------------------------------------------


@torch.no_grad()
def test_a_cache_of_the_base_is_refused(router, llama, llama_experts):
    ids = tokens(2, 15)
    _, cache = read(llama, ids, [0, PROMPT])
    with routed(llama, llama_experts, router):
        with pytest.raises(CompositionError, match="10 tokens that this mixture has not seen"):
            read(llama, ids, [PROMPT, 15], cache)
        assert int(cache.get_seq_length()) == PROMPT
        assert torch.isfinite(logits(llama, ids)).all()  # and the mixture works on


@torch.no_grad()
def test_a_cache_of_another_mixture_is_refused(mixture, router, llama, llama_experts):
    ids = tokens(2, 15)
    _, cache = read(llama, ids, [0, PROMPT])
    mixture.detach()
    with routed(llama, llama_experts, router), pytest.raises(CompositionError, match="not seen"):
        read(llama, ids, [PROMPT, 15], cache)


@torch.no_grad()
def test_tokens_that_the_base_added_are_noticed(llama, llama_experts):
    ids = tokens(2, 15)
    with routed(llama, llama_experts, "xlora") as mixture:
        _, cache = read(llama, ids, [0, PROMPT])
        for layer in cache.layers[:3]:
            layer.crop(-1)
        with pytest.raises(CompositionError, match="come apart: they hold 9 and 10 tokens"):
            read(llama, ids, [9, 15], cache)
        mixture.detach()


@torch.no_grad()
def test_rows_changed_by_hand_are_noticed(llama, llama_experts):
    ids = tokens(1, 15)
    with routed(llama, llama_experts, "sequence"):
        _, cache = read(llama, ids, [0, PROMPT])
        for layer in cache.layers[:3]:
            layer.batch_repeat_interleave(2)
        with pytest.raises(CompositionError, match="decided on 1 sequences, here are 2"):
            read(llama, ids.expand(2, -1), [PROMPT, 15], cache)


def test_a_past_that_nothing_can_follow_is_refused(mixture, llama):
    with pytest.raises(NotSupportedError, match="cannot with tuple"):
        llama(tokens(), past_key_values=((1, 2),))


@torch.no_grad()
def test_the_base_goes_on_with_a_cache_after_detaching(mixture, llama):
    ids = tokens(2, 15)
    _, cache = read(llama, ids, [0, PROMPT])
    mixture.detach()
    for layer, alone in zip(cache.layers, base_cache(llama, ids).layers, strict=False):
        layer.keys, layer.values = alone.keys, alone.values
    expected = logits(llama, ids)
    found, _ = read(llama, ids, [PROMPT, 15], cache)
    assert_close(found, expected[:, PROMPT:])


def base_cache(model, ids):
    """Return the model's cache after the prompt."""
    return read(model, ids, [0, PROMPT])[1]


# --- taking it off ----------------------------------------------------------------------------


def test_the_model_is_given_back_bit_for_bit(router, llama, llama_experts):
    before, ids = model_hash(llama), tokens()
    plain, attributes = logits(llama, ids), {n: set(vars(m)) for n, m in llama.named_modules()}
    with routed(llama, llama_experts, router):
        assert not torch.equal(logits(llama, ids), plain)
    assert torch.equal(logits(llama, ids), plain)
    assert model_hash(llama) == before
    assert {n: set(vars(m)) for n, m in llama.named_modules()} == attributes
