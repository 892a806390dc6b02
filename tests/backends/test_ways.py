"""How answers of servers are read: what is written to its end, and what is not."""

from __future__ import annotations

import pytest

from selfmoe_backend_openai.ways import LlamaCpp, Plain, TokenIds, Words


@pytest.mark.parametrize("way", [Plain, Words, TokenIds])
@pytest.mark.parametrize(("why", "ended"), [("stop", True), ("length", False)])
def test_an_answer_ends_by_itself_or_at_the_limit(way, why, ended):
    choice = {"text": "two", "finish_reason": why, "token_ids": [7]}
    new = way().read({"choices": [choice]})
    assert (new.text, new.ended) == ("two", ended)


@pytest.mark.parametrize("way", [Plain, Words, TokenIds])
@pytest.mark.parametrize("why", ["abort", "error"])
def test_an_answer_that_was_broken_off_is_none(way, why):
    choice = {"text": "tw", "finish_reason": why, "token_ids": [7]}
    with pytest.raises(ValueError, match=f"finish_reason: {why}"):
        way().read({"choices": [choice]})


def test_llama_cpp_says_it_in_its_own_words():
    answer = {"content": "two", "stop_type": "limit", "tokens": [7]}
    assert LlamaCpp().read(answer) == ("two", False, (7,))
    assert LlamaCpp().read(answer | {"stop_type": "eos"}) == ("two", True, (7,))
