"""Chats: the tokens of training are those of inference and those of ``apply_chat_template``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import AddedToken

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.prompts import turn
from selfmoe.contracts.records import Example, Instruction
from selfmoe.evaluation.harness import HarnessModel
from selfmoe.evaluation.traces import pieces
from selfmoe.models.asking import end_of, prompt_of
from selfmoe.models.chat import chat_of
from selfmoe.models.chat_dates import dated
from selfmoe.models.context import prompt_length
from selfmoe.models.fitting.batches import encode
from selfmoe.models.generation import generate
from selfmoe.models.tokens import answered_ids, prompt_ids, text_ids
from selfmoe.testing.models import tiny_llama
from selfmoe.testing.tokenizers import CHATS, KINDS, Make

EXAMPLE = Example("1", "math", "Add 2 and 3.", "At once.", "It is 5.")
TASK = Instruction(EXAMPLE.instruction, EXAMPLE.input)
ASKED = turn(TASK)
BEFORE = (("Add 1 and 1.", "It is 2."), ("Say a.", "a"))


@pytest.fixture(params=KINDS, ids=list(KINDS))
def make(request: pytest.FixtureRequest) -> Make:
    return KINDS[request.param]


@pytest.fixture(params=[True, False], ids=["ending texts", "leaving them open"])
def tokenizer(make: Make, chat: str, request: pytest.FixtureRequest) -> Any:
    return talking(make(request.param), chat)


@pytest.fixture(params=CHATS, ids=list(CHATS))
def chat(request: pytest.FixtureRequest) -> str:
    return CHATS[request.param]


def talking(tokenizer: Any, template: str) -> Any:
    tokenizer.chat_template = template
    return tokenizer


def messages(*said: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(said)]


def told(tokenizer: Any, *said: str) -> list[int]:
    """Return what transformers makes of a conversation; one that is to be answered asks for it."""
    asks = len(said) % 2 == 1
    found = tokenizer.apply_chat_template(messages(*said), add_generation_prompt=asks)
    return list(found.input_ids)


def writing(tokenizer: Any, answer: list[int], asked: list[list[int]] | None = None) -> Any:
    """Return a model that writes given tokens, and takes down what it is asked."""

    def write(input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        if asked is not None:
            rows = zip(input_ids, attention_mask.bool(), strict=True)
            asked.extend(ids[real].tolist() for ids, real in rows)
        return torch.cat([input_ids, torch.tensor([answer] * len(input_ids))], 1)

    ends = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)
    return SimpleNamespace(device="cpu", generate=write, generation_config=ends)


def harness_of(tokenizer: Any) -> HarnessModel:
    model, chat = tiny_llama(vocab_size=700), chat_of(tokenizer)
    return HarnessModel(model, tokenizer, batch_size=2, context=512, chat=chat)


class TestPrompts:
    def test_are_those_of_apply_chat_template(self, tokenizer: Any, chat: str) -> None:
        found = chat_of(tokenizer)
        assert found.opening == ("assistant\n" if chat == CHATS["that does not ask"] else "")
        for before in ((), BEFORE[:1], BEFORE):
            said = [*(text for pair in before for text in pair), ASKED]
            expected = told(tokenizer, *said)
            prompt = found.prompt(ASKED, before)
            if found.opening:
                expected += text_ids(tokenizer, found.opening, after=prompt[: -len(found.opening)])
            assert prompt_ids(tokenizer, prompt) == expected
            assert prompt_length(tokenizer, prompt) == len(expected)

    def test_are_what_stands_before_the_assistants_words(self, tokenizer: Any) -> None:
        whole = tokenizer.apply_chat_template(messages(ASKED, "So."), tokenize=False)
        prompt = chat_of(tokenizer).prompt(ASKED)
        assert whole.startswith(prompt)
        assert whole[len(prompt) :].startswith(chat_of(tokenizer).answer("So."))

    def test_have_one_opening_and_no_end_that_the_template_does_not_write(
        self, make: Make, chat: str
    ) -> None:
        for ended in (True, False):
            tokenizer = talking(make(ended), chat)
            prompt = chat_of(tokenizer).prompt(ASKED)
            ids = prompt_ids(tokenizer, prompt)
            assert ids == text_ids(make(False), str(prompt))
            for name in ("bos_token", "eos_token"):
                if token := getattr(tokenizer, name):
                    number = tokenizer.convert_tokens_to_ids(token)
                    assert ids.count(number) == prompt.count(token)
            assert str(tokenizer.bos_token) * 2 not in prompt

    def test_of_training_are_those_of_inference(self, tokenizer: Any) -> None:
        row = encode(EXAMPLE, tokenizer, "chat")
        prompt = prompt_of(TASK, tokenizer, "chat")
        asked: list[list[int]] = []
        model = writing(tokenizer, [tokenizer.eos_token_id], asked)
        generate(model, tokenizer, [prompt, chat_of(tokenizer).prompt("a")], max_new_tokens=1)
        assert row.ids[: row.prompt] in asked
        assert row.ids[: row.prompt] == prompt_ids(tokenizer, prompt)
        harness = HarnessModel(
            tiny_llama(vocab_size=700),
            tokenizer,
            batch_size=2,
            context=512,
            chat=chat_of(tokenizer),
        )
        assert harness._encode_pair(str(prompt), "x")[0] == row.ids[: row.prompt]

    def test_answers_go_on_behind_them_wherever_they_are_read(self, tokenizer: Any) -> None:
        said = chat_of(tokenizer)
        prompt = said.prompt(ASKED)
        ids, start = answered_ids(tokenizer, prompt, said.answer("It is 5."))
        pair = harness_of(tokenizer)._encode_pair(str(prompt), said.answer("It is 5."))
        assert pair == (ids[:start], ids[start:])
        learned = encode(EXAMPLE, tokenizer, "chat").ids
        assert learned[: len(ids) - 1] == ids[:-1]  # what follows may join the last token

    def test_are_shown_token_by_token(self, tokenizer: Any) -> None:
        prompt = chat_of(tokenizer).prompt(ASKED)
        assert len(pieces(tokenizer, prompt)) == len(prompt_ids(tokenizer, prompt))


class TestAnswers:
    def test_are_what_the_template_writes_to_the_end_of_the_turn(self, tokenizer: Any) -> None:
        row = encode(EXAMPLE, tokenizer, "chat")
        whole = told(tokenizer, ASKED, EXAMPLE.response)
        assert row.ids == whole[: len(row.ids)]
        assert row.ids[-1] == end_of(tokenizer, "chat") == tokenizer.eos_token_id
        assert row.ids[row.prompt :].count(row.ids[-1]) == 1
        assert row.ids[-1] not in whole[len(row.ids) :]

    def test_are_what_the_base_would_have_to_generate(self, tokenizer: Any) -> None:
        row = encode(EXAMPLE, tokenizer, "chat")
        prompt = prompt_of(TASK, tokenizer, "chat")
        model = writing(tokenizer, [*row.ids[row.prompt :], *row.ids[:3]])
        (new,) = generate(model, tokenizer, [prompt], max_new_tokens=99)
        assert new.finished
        wrote = Example("1", "math", TASK.instruction, TASK.input, "x", tokens=new.spelling)
        assert encode(wrote, tokenizer, "chat").ids == row.ids

    def test_that_the_base_wrote_are_kept_as_they_are(self, tokenizer: Any) -> None:
        wrote = Example("1", "math", TASK.instruction, TASK.input, "x", tokens=(7, 8, 9))
        row = encode(wrote, tokenizer, "chat")
        assert row.ids[row.prompt :] == [7, 8, 9, tokenizer.eos_token_id]


END, USER = "<|end|>", "<|user|>"
TURNS = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + END }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def special() -> Any:
    """Return a tokenizer with special tokens that end no text."""
    tokenizer = KINDS["byte-level"](False)
    names = [END, USER, "<|assistant|>"]
    tokenizer.add_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


def test_a_turn_may_end_with_a_token_that_ends_no_text(special: Any) -> None:
    talking(special, TURNS.replace("END", repr(END)))
    end = special.convert_tokens_to_ids(END)
    assert end_of(special, "chat") == end != special.eos_token_id
    row = encode(EXAMPLE, special, "chat")
    model = writing(special, [*row.ids[row.prompt :], 65, 66, special.eos_token_id])
    ask = [prompt_of(TASK, special, "chat")]
    (long,) = generate(model, special, ask, max_new_tokens=99)
    (new,) = generate(model, special, ask, max_new_tokens=99, ends=[end])
    assert new.text == "It is 5." and new.finished
    assert long.text != new.text


def test_a_turn_may_end_where_the_next_one_begins(special: Any) -> None:
    talking(special, TURNS.replace("+ END", ""))
    assert chat_of(special).closing == USER
    assert end_of(special, "chat") == special.convert_tokens_to_ids(USER)


def test_what_stands_before_every_answer_is_asked_with(special: Any) -> None:
    talking(special, CHATS["that does not ask"])
    found = chat_of(special)
    assert found.opening == "assistant\n" and not found.lead
    assert found.prompt("Hi") == "user\nHi<eos>\nassistant\n"


def test_what_only_answers_begin_with_is_to_be_written(special: Any) -> None:
    thinking = CHATS["marked"].replace(
        "m.content +", "('<think></think>' if m.role == 'assistant' else '') + m.content +"
    )
    talking(special, thinking)
    assert chat_of(special).lead == "<think></think>"
    row = encode(EXAMPLE, special, "chat")
    assert special.decode(row.ids[row.prompt :]) == "<think></think>It is 5.<eos>"
    assert row.ids == told(special, ASKED, EXAMPLE.response)[: len(row.ids)]


def test_the_day_is_always_the_same(special: Any) -> None:
    day = "\n  {% if true %}{{ strftime_now('%d %b %Y') + strftime_now(\"%H\") }}{% endif %}\n"
    talking(special, day + CHATS["marked"])
    plain = special.apply_chat_template(messages("Hi"), tokenize=False, add_generation_prompt=True)
    prompt = chat_of(special).prompt("Hi")
    assert "26 Jul 202400" in prompt
    assert prompt.partition("26 Jul")[0] == plain[: prompt.index("26 Jul")]
    assert prompt.partition("<|user|>")[2] == plain.partition("<|user|>")[2]
    assert dated(CHATS["marked"]) == CHATS["marked"]
    with pytest.raises(DataError, match="present day in a format that cannot be told"):
        dated("{{ strftime_now(wanted) }}{{ strftime_now('%d') }}")


def test_templates_that_refuse_system_texts_are_not_given_any(special: Any) -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    talking(special, refusing + CHATS["marked"])
    assert chat_of(special).prompt("Hi", BEFORE).count("<|user|>") == 3


REFUSED = {
    "raises": ("{{ raise_exception('never') }}", r"fails on user: TemplateError: never"),
    "is broken": ("{% for %}", r"fails on user: TemplateSyntaxError"),
    "wants lists": ("{{ messages[0].content[0].text + '' }}", r"fails on user: UndefinedError"),
    "takes one question": (
        "{% if messages | length > 2 %}{{ raise_exception('one') }}{% endif %}" + CHATS["marked"],
        r"fails on user, assistant, user: TemplateError: one",
    ),
    "forgets": (
        CHATS["marked"].replace("messages %", "messages[-2:] %"),
        r"does not show once, as it is, what is said",
    ),
    "changes words": (
        CHATS["marked"].replace("m.content", "m.content | upper"),
        r"does not show once, as it is, what is said: 'Where are the 12 herons\?' became",
    ),
    "has no end": (
        CHATS["marked"].replace("+ eos_token", ""),
        r"ends an answer with '\\n', in which no special token",
    ),
    "asks otherwise": (
        CHATS["marked"].replace("|>\n' }}{% endif", "|>\n<think>' }}{% endif"),
        r"asks with .*<think>' and puts answers behind",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_templates_that_cannot_be_told_are_refused(kind: str) -> None:
    template, why = REFUSED[kind]
    tokenizer = talking(KINDS["byte-level"](False), template)
    said = rf"the base's chat template {why}(.|\n)*Set prompts.template to alpaca or plain"
    with pytest.raises(DataError, match=said):
        chat_of(tokenizer)


def test_a_tokenizer_without_one(special: Any) -> None:
    with pytest.raises(DataError, match="has no chat template"):
        prompt_of(TASK, special, "chat")
    talking(special, {"tools": CHATS["marked"]})
    with pytest.raises(DataError, match="cannot be chosen"):
        chat_of(special)
    talking(special, {"tools": CHATS["opened"], "default": CHATS["marked"]})
    assert chat_of(special).prompt("Hi").startswith("<|user|>")
