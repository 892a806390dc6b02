"""What a base wrote is learned token by token; other texts as they go on behind a prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.records import Example, Instruction
from selfmoe.models.fitting.batches import encode
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.stopping import Stops
from selfmoe.models.spelling import spelled, text_behind, texts_of
from selfmoe.models.tokens import prompt_ids, text_ids
from selfmoe.testing.models import tiny_tokenizer
from selfmoe.testing.tokenizers import KINDS

EXAMPLE = Example("1", "chemistry", "What is Na?", "", "sodium")
PROMPT = alpaca(Instruction(EXAMPLE.instruction))


@pytest.fixture(params=[kind for kind in KINDS if not kind.startswith("wordpiece")])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param](True)


@pytest.fixture(params=KINDS)
def any_tokenizer(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param](True)


def behind_prompt(tokenizer: Any, ids: list[int]) -> str:
    """Return what tokens say behind the prompt, as a reader of both sees it."""
    before = prompt_ids(tokenizer, PROMPT)
    whole = tokenizer.decode([*before, *ids], skip_special_tokens=True)
    return str(whole.removeprefix(tokenizer.decode(before, skip_special_tokens=True)))


@pytest.mark.parametrize("text", ["sodium", " sodium", "  so dium ", "\n\tNa", "ナ", " 5."])
def test_texts_are_encoded_as_they_go_on_behind_the_prompt(tokenizer: Any, text: str) -> None:
    """SentencePiece would open them with a space that nobody wrote."""
    ids = text_ids(tokenizer, text, after=PROMPT)
    assert behind_prompt(tokenizer, ids) == text


@pytest.mark.parametrize("text", ["sodium", " sodium", "  so dium ", " 5.\nThen"])
def test_the_space_that_opens_an_answer_is_kept(tokenizer: Any, text: str) -> None:
    """SentencePiece decodes a text of its own without it."""
    assert text_behind(tokenizer, text_ids(tokenizer, text, after=PROMPT)) == text


def test_targets_are_the_tokens_that_were_written(any_tokenizer: Any) -> None:
    """Even where the tokenizer would spell the same text with others."""
    written = text_ids(any_tokenizer, " add response", after=PROMPT)[::-1]
    row = encode(replace(EXAMPLE, tokens=tuple(written), continuation="x"), any_tokenizer)
    before = prompt_ids(any_tokenizer, PROMPT)
    assert row.ids == [*before, *written, any_tokenizer.eos_token_id]
    assert row.prompt == len(before)


def test_without_tokens_the_continuation_is_learned_not_the_cleaned_view() -> None:
    tokenizer = tiny_tokenizer()
    spaced = encode(replace(EXAMPLE, continuation=" sodium"), tokenizer)
    assert behind_prompt(tokenizer, spaced.ids[spaced.prompt : -1]) == " sodium"
    bare = encode(EXAMPLE, tokenizer)
    assert behind_prompt(tokenizer, bare.ids[bare.prompt : -1]) == "sodium"


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_text_is_spelled_by_the_tokens_written_for_it(tokenizer: Any, cut: int) -> None:
    ids = text_ids(tokenizer, "abc dab", after="\n")
    text = tokenizer.decode(ids)[:cut]
    assert tokenizer.decode(spelled(tokenizer, ids, text)) == text


def test_a_token_that_reaches_into_the_stop_string_is_spelled_anew() -> None:
    """Here one token is a point and the line ends behind it."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([".\n\n"])
    whole = tokenizer(" It is 5.\n\nInstruction").input_ids
    assert tokenizer.convert_tokens_to_ids(".\n\n") in whole
    stops = Stops([tokenizer.eos_token_id], ["\n\n"], tokenizer)
    written = stops.continuation(Row(0, [], new=list(whole)), tokenizer)
    assert (written.text, written.finished) == (" It is 5.", True)
    assert written.spelling == tuple(tokenizer(" It is 5.").input_ids)
    assert written.tokens == tuple(whole)


def test_what_ends_a_text_is_no_part_of_its_spelling() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer(" It is 5. ").input_ids
    stops = Stops([tokenizer.eos_token_id], ["\n\n"], tokenizer)
    row = Row(0, [], new=[*ids, tokenizer.eos_token_id, 7])
    written = stops.continuation(row, tokenizer)
    assert (written.text, written.spelling) == (" It is 5. ", tuple(ids))


@pytest.mark.parametrize("text", ["It is 5.", " two  spaces", "naïve – 答え 🙂"])
def test_texts_of_tokens_add_up(text: str) -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text).input_ids
    texts = texts_of(tokenizer, ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == text
