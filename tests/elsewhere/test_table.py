"""Every cell of the table in ``docs/elsewhere.md``: what plain ``generate`` gives, or a refusal.

A function ``@hand`` does what a row of the table says to a routed model and returns what came out
and what should have.
"""

from __future__ import annotations

import copy
import io
import shutil
import sys
import threading
import warnings
from contextlib import nullcontext

import pytest
import torch
from transformers import GenerationConfig, pipeline
from transformers.generation.configuration_utils import ContinuousBatchingConfig

import selfmoe
from _generate.elsewhere import HANDS, REFUSED, ROUTERS
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.storage import model_hash
from selfmoe.testing.models import tiny_llama, tiny_tokenizer

PROMPTS = [
    torch.randint(0, 256, (n,), generator=torch.Generator().manual_seed(n)).tolist()
    for n in (5, 9, 14)
]
GREEDY = GenerationConfig(max_new_tokens=6, do_sample=False, pad_token_id=257, eos_token_id=256)
FORWARDS = 150
"""Forwards of each of four threads."""
DONE = {}


def hand(name):
    def add(function):
        DONE[name] = function
        return function

    return add


def told(model):
    """Say the domain of all rows, for routers that need it."""
    mixture = getattr(model, "mixture", None)
    if mixture is None or "labels_at_inference" not in mixture.needs:
        return nullcontext()
    return mixture.annotate(domain=("math",))


def written(model, prompt, **how):
    """Return the tokens that ``generate`` writes after one prompt."""
    ids = torch.tensor([prompt])
    how |= {"attention_mask": torch.ones_like(ids), "generation_config": GREEDY}
    with told(model):
        made = model.generate(ids, **how)
    return made[:, ids.shape[1] :].tolist()


def alone(model, **how):
    return [written(model, prompt, **how) for prompt in PROMPTS]


@torch.no_grad()
def logits(model, prompt=PROMPTS[1]):
    with told(model):
        return model(torch.tensor([prompt]), use_cache=False).logits


# --- ways to generate -----------------------------------------------------------------------------

PAGES = ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=64)


@hand("generate_batch")
def batch(model, **_):
    made = model.generate_batch(
        inputs=PROMPTS, generation_config=GREEDY, continuous_batching_config=PAGES
    )
    return [[one.error or one.generated_tokens] for one in made.values()], alone(model)


@hand("paged cache")
def paged(model, **_):
    manager = model.init_continuous_batching(
        generation_config=GREEDY, continuous_batching_config=PAGES
    )
    manager.start()
    try:
        manager.add_request(input_ids=PROMPTS[1], request_id="one")
        made = manager.get_result(request_id="one", timeout=60)
    finally:
        manager.stop(block=True)
    return [made.error or made.generated_tokens], written(model, PROMPTS[1])


@hand("assisted decoding")
def assisted(model, base, **_):
    return alone(model, assistant_model=base), alone(model)


@hand("prompt lookup")
def lookup(model, **_):
    again = PROMPTS[1] * 3  # so that there is something to find
    found = [written(model, prompt, prompt_lookup_num_tokens=3) for prompt in (*PROMPTS, again)]
    return found, [*alone(model), written(model, again)]


@hand("chunked prefill")
def chunked(model, **_):
    return alone(model, prefill_chunk_size=4), alone(model)


@hand("beams")
def beams(model, **_):
    how = {"num_beams": 3, "num_return_sequences": 2}
    return alone(model, **how), alone(model, use_cache=False, **how)


@hand("no cache")
def uncached(model, **_):
    return alone(model, use_cache=False), alone(model)


@hand("static cache")
def static(model, **_):
    return alone(model, cache_implementation="static"), alone(model)


@hand("left padding")
def padded(model, **_):
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[257] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    how = {"suppress_tokens": [256, 257]}  # all experts tie on padding, whose embedding is zero
    mask = (ids != 257).long()
    with told(model):
        made = model.generate(ids, attention_mask=mask, generation_config=GREEDY, **how)
    return made[:, longest:].tolist(), [row[0] for row in alone(model, **how)]


@hand("pipeline")
def piped(model, **_):
    tokenizer, text = tiny_tokenizer(), "Add 1 and 2."
    pipe = pipeline("text-generation", model=model, tokenizer=tokenizer)
    with told(model):
        made = pipe(text, generation_config=GREEDY, return_full_text=False)
    return made[0]["generated_text"], tokenizer.decode(
        written(model, tokenizer(text).input_ids)[0], skip_special_tokens=True
    )


# --- what is done to the model --------------------------------------------------------------------


@hand("compile")
def compiled(model, router, **_):
    torch._dynamo.reset()
    want = logits(model)
    backends = ["eager"]
    if router == "topk" and shutil.which("g++"):
        backends.append("inductor")
    for backend in backends:
        made = torch.compile(model, backend=backend, dynamic=False)
        assert torch.allclose(logits(made), want, atol=1e-4)
    return True, True


def is_near(low, exact, low_base, base):
    """Return whether logits of lower precision are as near as those of the base, or 3 %."""
    error, usual = (
        (one - two).abs().mean() / two.abs().mean() for one, two in ((low, exact), (low_base, base))
    )
    return bool(error < 0.03 + 3 * usual)


@hand("autocast")
def autocast(model, base, **_):
    with torch.autocast("cpu", torch.bfloat16):
        low, low_base, made = logits(model), logits(base), written(model, PROMPTS[1])
    assert made
    return is_near(low, logits(model), low_base, logits(base)), True


@hand("half")
def half(model, base, **_):
    near = []
    for cast in ("half", "bfloat16"):
        low, low_base = (getattr(copy.deepcopy(one), cast)() for one in (model, base))
        near.append(is_near(logits(low), logits(model), logits(low_base), logits(base)))
        assert written(low, PROMPTS[1])
    return near, [True, True]


@hand("deepcopy")
def copied(model, base, **_):
    twin, want = copy.deepcopy(model), alone(model)
    made = alone(twin)
    twin.mixture.detach()
    assert alone(twin) == alone(base)
    assert model_hash(twin) == model_hash(base)
    assert alone(model) == want
    return made, want


@hand("pickle")
def pickled(model, base, **_):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    made = alone(again)
    again.mixture.detach()
    assert model_hash(again) == model_hash(base)
    assert type(again.model.layers[0]) is type(base.model.layers[0])
    return made, alone(model)


@hand("state_dict")
def states(model, **_):
    state, want = copy.deepcopy(model.state_dict()), alone(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    model.load_state_dict(state)
    made = alone(model)
    model.load_state_dict(tiny_llama(3, num_hidden_layers=2).state_dict(), strict=False)
    assert alone(model) != want
    return made, want


@hand("threads")
def threads(model, **_):
    rows = [PROMPTS[1], PROMPTS[1][::-1], [7] * 9, [*range(9)]]
    want, off = [logits(model, row) for row in rows], []

    def work(row, right):
        for _ in range(FORWARDS):
            try:
                off.append(float((logits(model, row) - right).abs().max()))
            except Exception as error:
                off.append(error)

    working = [threading.Thread(target=work, args=one) for one in zip(rows, want, strict=True)]
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns often, as on a busy server
    try:
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()
    finally:
        sys.setswitchinterval(often)
    assert len(off) == len(rows) * FORWARDS
    return [one for one in off if isinstance(one, Exception) or not one < 1e-4], []


# --- keeping it -----------------------------------------------------------------------------------


@hand("save_mixture")
def saved(model, base, tmp_path, **_):
    again = selfmoe.load_mixture(base, selfmoe.save_mixture(model, tmp_path / "kept"))
    assert torch.equal(logits(again), logits(model))
    return alone(again), alone(model)


@hand("save_pretrained")
def pretrained(model, tmp_path, **_):
    with pytest.raises(NotSupportedError, match="weighs its experts while the model runs"):
        model.push_to_hub("nobody/nothing")
    with pytest.raises(NotSupportedError, match="load as the base alone"):
        model.model.save_pretrained(tmp_path / "inner")
    try:
        model.save_pretrained(tmp_path / "whole")
    finally:
        assert not list(tmp_path.iterdir())


# --- training it ----------------------------------------------------------------------------------


@hand("Trainer, router")
def router_trained(train, **_):
    changed = train("router")
    return {name.partition(".")[0] for name in changed}, {"selfmoe_gate"}


@hand("Trainer, experts")
def experts_trained(train, **_):
    changed = train("experts")
    return bool(changed) and all(".selfmoe_delta.factors_" in name for name in changed), True


@hand("SFTTrainer")
def tuned(train_sft, **_):
    changed = train_sft()
    return bool(changed) and all("selfmoe_" in name for name in changed), True


# --- the cells ------------------------------------------------------------------------------------


def test_every_row_is_tested():
    assert list(DONE) == list(HANDS)


def test_only_what_is_in_the_table_is_refused():
    assert set(REFUSED) <= set(HANDS)
    kept = {"save_pretrained"}  # what has no place in a plain model
    assert not [row for row in set(REFUSED) - kept if "topk" in REFUSED[row]]


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("name", HANDS)
def test_cell(name, router, request):
    wanted = ("routed", "base", "composed", "tmp_path")
    given = {fixture: request.getfixturevalue(fixture) for fixture in wanted}
    for fixture in ("train", "train_sft"):
        if fixture in DONE[name].__code__.co_varnames:
            given[fixture] = request.getfixturevalue(fixture)
    model = given.pop("routed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refusal = REFUSED.get(name, {}).get(router)
        if refusal is None:
            made, want = DONE[name](model=model, router=router, **given)
            assert made == want
            return
        with pytest.raises(NotSupportedError, match=refusal.says):
            DONE[name](model=model, router=router, **given)


@pytest.mark.parametrize("say", ["record", "annotate"])
def test_continuous_batching_says_that_nobody_hears_it(of, say):
    """Its forwards run in a thread of their own, where this one's record and labels do not hold."""
    model = copy.deepcopy(of("topk"))
    how = {"domain": ["math"]} if say == "annotate" else {}
    with (
        getattr(model.mixture, say)(**how),
        pytest.raises(NotSupportedError, match="in a thread of its own"),
    ):
        model.generate_batch(inputs=PROMPTS, generation_config=GREEDY)
