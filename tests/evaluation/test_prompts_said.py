"""A router that decides from the prompt never sees the option whose likelihood is asked for."""

from __future__ import annotations

import pytest
import torch

from selfmoe.evaluation.harness import HarnessModel, complete, likelihoods
from selfmoe.mixture.runtime import attach
from selfmoe.testing.models import tiny_llama, tiny_tokenizer
from selfmoe.testing.routing import even_experts, random_theta, refer
from selfmoe_router_sequence import Sequence

PROMPTS = ["Which one?\n", "How many legs has a spider? Answer:", "Go!!\n", "Which two?\n"]
OPTIONS = [
    ["red", "blue and green", "a!!", "a!"],
    ["8", "6"],
    ["on", "away", "!", "!!"],
    ["x", "y"],
]


@pytest.fixture
def mixture(tmp_path):
    model = tiny_llama()
    experts = even_experts(model, tmp_path)
    tensors = {"theta": random_theta(3, std=0.5)}
    with attach(model, Sequence(), refer(experts, tensors=tensors), experts) as mixture:
        yield mixture


def harness(mixture, batch_size=5, context=512):
    return HarnessModel(mixture._model, tiny_tokenizer(), batch_size=batch_size, context=context)


@torch.no_grad()
def by_hand(mixture, prompt, option, known=None):
    """Return the likelihood of an option; of the prompt, the router knows the first tokens."""
    ids = torch.tensor([[*prompt, *option]])
    said = torch.arange(ids.shape[1]) < (len(prompt) if known is None else known)
    with mixture.annotate(prompt_mask=said[None]):
        scores = mixture._model(ids).logits[0].log_softmax(-1)
    places = torch.arange(len(prompt), ids.shape[1])
    return float(scores[places - 1, ids[0, places]].sum())


def test_options_are_not_part_of_what_decides(mixture):
    encode = tiny_tokenizer().encode
    found = likelihoods(harness(mixture), PROMPTS, OPTIONS)
    seen = 0.0
    for prompt, options, scores in zip(PROMPTS, OPTIONS, found, strict=True):
        space = "" if prompt.endswith("\n") else " "
        for option, score in zip(options, scores, strict=True):
            parts = encode(prompt), encode(space + option)
            assert score == pytest.approx(by_hand(mixture, *parts), rel=1e-4)
            seen = max(seen, abs(score - by_hand(mixture, *parts, known=999)))
    assert seen > 0.01, "the router decides the same with the option; this shows nothing"


def test_texts_alike_with_prompts_unlike_are_read_apart(mixture):
    requests = [
        (("a", "b"), [71, 72, 73], [74, 75]),
        (("c", "d"), [71], [72, 73, 74, 76]),
        (("e", "f"), [71, 72, 73], [74, 77]),
    ]
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        found = harness(mixture)._loglikelihood_tokens([requests[i] for i in order], True)
        for i, (score, _) in zip(order, found, strict=True):
            assert score == pytest.approx(by_hand(mixture, *requests[i][1:]), rel=1e-4)


def test_a_prompt_cut_at_the_context_ends_where_it_ended(mixture):
    prompt, option = list(range(60, 80)), [90, 91, 92]
    ((score, _),) = harness(mixture, context=10)._loglikelihood_tokens([(("", ""), prompt, option)])
    assert score == pytest.approx(by_hand(mixture, prompt[-8:], option), rel=1e-4)


def test_answers_are_written_by_the_experts_of_the_prompt(mixture):
    prompts = ["Which one?\n", "How many legs have three spiders? Answer:", "Go!!\n"]
    alone = [complete(harness(mixture), [p], stop=["\n"], max_new_tokens=8)[0] for p in prompts]
    together = complete(harness(mixture), prompts, stop=["\n"], max_new_tokens=8)
    assert together == alone


def test_a_model_without_a_mixture_is_read_as_ever(mixture):
    with_mixture = likelihoods(harness(mixture), PROMPTS, OPTIONS)
    mixture.detach()
    plain = likelihoods(harness(mixture), PROMPTS, OPTIONS)
    assert plain != with_mixture
    ids = tiny_tokenizer().encode("Which one?\n"), tiny_tokenizer().encode("red")
    with torch.no_grad():
        scores = mixture._model(torch.tensor([[*ids[0], *ids[1]]])).logits[0].log_softmax(-1)
    expected = sum(float(scores[len(ids[0]) + i - 1, t]) for i, t in enumerate(ids[1]))
    assert plain[0][0] == pytest.approx(expected, rel=1e-4)
