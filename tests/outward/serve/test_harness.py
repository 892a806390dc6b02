"""lm-eval's own client of servers gets from ours what the mixture writes and finds likely."""

from __future__ import annotations

import pytest

import selfmoe
from selfmoe.models.asking import prompt_of, task_in
from selfmoe.models.generation import generate

pytest.importorskip("lm_eval")
pytest.importorskip("tenacity", reason="lm-eval's clients of servers need tenacity")

ASKED = "Say where the herons are."
NEW = 12


@pytest.fixture(scope="module")
def client(served, run, tiny_base_folder):
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    return LocalCompletionsAPI(
        model="demo/mixse",
        base_url=f"{served}/v1/completions",
        tokenizer=str(tiny_base_folder),
        tokenizer_backend="huggingface",
        num_concurrent=2,
        max_retries=1,
        timeout=60,
    )


@pytest.fixture(scope="module")
def mixture(run):
    return selfmoe.load(run, "mixse")


def test_it_writes_what_generate_writes(client, mixture):
    from lm_eval.api.instance import Instance

    settings = {"until": ["\x00"], "max_gen_toks": NEW, "do_sample": False}
    prompts = [prompt_of(task_in(text), None, "alpaca") for text in (ASKED, "Name a bird.", "Go.")]
    asked = [Instance("generate_until", {}, (prompt, settings), 0) for prompt in prompts]
    expected = generate(*mixture, prompts, max_new_tokens=NEW)
    assert client.generate_until(asked, disable_tqdm=True) == [one.text for one in expected]


def test_it_finds_likely_what_the_mixture_does(client, mixture):
    import torch
    from lm_eval.api.instance import Instance

    model, tokenizer = mixture
    pairs = [("The heron", " stands"), ("The heron", " by the lake"), ("Two and two", " are four")]
    asked = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    for (prompt, option), (told, greedy) in zip(
        pairs, client.loglikelihood(asked, disable_tqdm=True), strict=True
    ):
        before, ids = tokenizer(prompt)["input_ids"], tokenizer(prompt + option)["input_ids"]
        with torch.no_grad():
            chances = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        places = range(len(before) - 1, len(ids) - 1)
        expected = sum(float(chances[place, ids[place + 1]]) for place in places)
        assert told == pytest.approx(expected, abs=1e-4)
        assert greedy == all(int(chances[place].argmax()) == ids[place + 1] for place in places)
