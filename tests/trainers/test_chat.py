"""Trainers in a chat: teacher and expert end answers with the token that ends a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken

from selfmoe.contracts.prompts import ChatPrompt, turn
from selfmoe.contracts.records import Example, Instruction, LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.kits.trainers import answers as kit
from selfmoe.kits.trainers.answers import answers_of, written
from selfmoe.kits.trainers.ends import ends_among
from selfmoe.models.chat import chat_of
from selfmoe.models.fitting.batches import encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.generation import Continuation
from selfmoe.registry.registry import registry
from selfmoe.testing.models import tiny_base, tiny_examples

TURNS = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def chatting() -> LoadedBase:
    """Return a base whose turns end with a token that ends no text."""
    base = tiny_base()
    base.tokenizer.add_tokens([AddedToken("<|end|>", special=True)])
    base.tokenizer.chat_template = TURNS
    return replace(base, template="chat")


class Teacher:
    stop: Sequence[str] = ()

    def __init__(self, base: LoadedBase) -> None:
        self._chat = chat_of(base.tokenizer)

    def __call__(self, example: Example) -> str:
        task = Instruction(example.instruction, example.input)
        return self._chat.prompt(turn(task), [("Add 1 and 1.", "2")])


def context(folder: Path) -> TrainContext:
    base = chatting()
    data = [
        replace(
            one, continuation=one.response, tokens=tuple(base.tokenizer(one.response).input_ids)
        )
        for one in tiny_examples(4)
    ]
    (folder / "adapter").mkdir(parents=True)
    known = (base, data, Fit(), 5, folder / "work", folder / "adapter")
    return TrainContext(*known, Teacher(base))


def test_what_is_learned_ends_with_the_turn(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    end = chat_of(ctx.base.tokenizer).end
    assert end == ctx.base.tokenizer.convert_tokens_to_ids("<|end|>")
    assert [answer[-1] for answer in answers_of(ctx)] == [end] * 4
    ends = ends_among(ctx.base, (), answers_of(ctx))
    assert (ends.text, ends.told) == (end, True)
    assert ends.others == (ctx.base.tokenizer.eos_token_id,)


def test_answers_of_its_own_are_asked_for_and_end_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path)
    tokenizer, end = ctx.base.tokenizer, chat_of(ctx.base.tokenizer).end

    def write(model: Any, tokenizer: Any, prompts: list[str], **how: Any) -> list[Continuation]:
        assert all(isinstance(prompt, ChatPrompt) for prompt in prompts)
        assert how["ends"] == [end]
        return [Continuation("5", True, (20, end)) for _ in prompts]

    monkeypatch.setattr(kit, "generate", write)
    asked = ctx.data[:2]
    found = written(
        ctx.base.model, tokenizer, asked, seeds=[1, 2], max_new_tokens=4, template="chat"
    )
    for one, before in zip(found, asked, strict=True):
        row, prompt = (encode(example, tokenizer, "chat") for example in (one, before))
        assert row.ids == [*prompt.ids[: prompt.prompt], 20, end]


@pytest.mark.parametrize("name", ["lora", "distill", "sdft"])
def test_they_train(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    ctx = context(tmp_path)
    own = {"max_new_tokens": 4} if name == "sdft" else {}
    options = {"max_steps": 1, "batch_size": 2, "r": 2, **own}
    report = registry().configure("trainer", name, options).train(ctx)
    assert len(report["losses"]) == 1
