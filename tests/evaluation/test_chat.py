"""Benchmarks asked in a chat: turns end by their own token, options follow as answers do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.prompts import ChatPrompt, turn
from selfmoe.evaluation import harness
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.evaluation.prompting import Prompter
from selfmoe.models.chat import chat_of
from selfmoe.models.generation import Continuation
from selfmoe.models.tokens import prompt_ids, text_ids
from selfmoe.testing.models import tiny_llama, tiny_tokenizer
from selfmoe.testing.tokenizers import CHATS


def talking(template: str, bos: bool = True) -> Any:
    tokenizer = tiny_tokenizer(bos=bos)
    tokenizer.chat_template = CHATS[template]
    return tokenizer


@pytest.mark.parametrize("template", ["marked", "opened"])
def test_options_are_as_likely_as_answers_of_these_tokens(template: str) -> None:
    model, tokenizer = tiny_llama(), talking(template)
    chat = chat_of(tokenizer)
    prompt = chat.prompt("Is it so?")
    own = harness.HarnessModel(model, tokenizer, batch_size=2, context=512, chat=chat)
    (found,) = harness.likelihoods(own, [prompt], [["yes", "no"]])
    for option, likelihood in zip(("yes", "no"), found, strict=True):
        before = prompt_ids(tokenizer, prompt)
        answer = text_ids(tokenizer, chat.lead + option, after=prompt)
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *answer]])).logits[0].log_softmax(-1)
        places = range(len(before) - 1, len(before) + len(answer) - 1)
        expected = sum(logits[n, t].item() for n, t in zip(places, answer, strict=True))
        assert likelihood == pytest.approx(expected, rel=1e-4)
    assert chat.lead == (" " if template == "opened" else "")


@pytest.mark.parametrize("unfinished", [False, True])
def test_a_benchmark_is_asked_in_turns_that_end_by_their_own_token(
    sums: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unfinished: bool
) -> None:
    tokenizer = talking("marked")
    asked: list[tuple[str, Any]] = []

    def write(model: Any, tokenizer: Any, prompts: list[str], **how: Any) -> list[Continuation]:
        assert {type(prompt) for prompt in prompts} == {ChatPrompt}
        asked.extend((prompt, how) for prompt in prompts)
        return [Continuation("102", True) for _ in prompts]

    monkeypatch.setattr(harness, "generate", write)
    sums.stop = ("\n\n",)
    setup = Setup(limit=3, template="chat", shots=2)
    how = {"benchmark_id": "math/sums", "context": 4096, "work": tmp_path}
    score, rows = evaluate(tiny_llama(), tokenizer, sums, setup, **how)
    if unfinished:  # finished shards are read from files
        asked.clear()
        score, rows = evaluate(tiny_llama(), tokenizer, sums, setup, **how)
        assert not asked
    assert score.extra["template"] == "chat"
    assert {type(row["prompt"]) for row in rows} == {ChatPrompt}
    chat = chat_of(tokenizer)
    shots = [(turn(sums.ask(shot)), sums.gold(shot)) for shot in sums.pool[:2]]
    assert [row["prompt"] for row in rows] == [
        chat.prompt(turn(sums.ask(doc)), shots) for doc in sums.items[:3]
    ]
    assert [row["prompt_tokens"] for row in rows] == [
        len(prompt_ids(tokenizer, row["prompt"])) for row in rows
    ]
    for _, given in asked:
        assert given["ends"] == (chat.end,)
        assert given["stop"] == ("<eos>",)


def test_stop_strings_hold_in_chats_where_a_benchmark_has_its_own_prompt(sums: Any) -> None:
    sums.stop = ("\n\n",)
    assert sums.stops("alpaca") == ("\n\n",) and sums.stops("chat") == ()
    sums.template = "plain"
    assert sums.stops("chat") == ("\n\n",)


def test_what_stands_before_options_takes_room(sums: Any) -> None:
    sums.choices = lambda doc: ["one"]
    chats = (None, chat_of(talking("opened")))
    rooms = [Prompter(sums, "plain", [], len, 99, chat)._answer_tokens({}) for chat in chats]
    assert rooms == [4, 5]


def test_without_a_chat_template_there_is_no_chat(sums: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the base has no chat template"):
        evaluate(
            tiny_llama(), tiny_tokenizer(), sums, Setup(template="chat"),
            benchmark_id="math/sums", context=4096, work=tmp_path,
        )  # fmt: skip
