"""Prompts are unfinished texts: the same tokens in training and inference, whatever is added."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, processors
from transformers import PreTrainedTokenizerFast

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import DataError
from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.records import Example, Instruction, LoadedBase
from selfmoe.evaluation.harness import HarnessModel
from selfmoe.evaluation.traces import pieces
from selfmoe.models import base as bases
from selfmoe.models.context import prompt_length
from selfmoe.models.fitting.batches import encode, encode_all
from selfmoe.models.generation import generate
from selfmoe.models.spelling import texts_of
from selfmoe.models.tokens import (
    answered_ids,
    first_tokens,
    leave_open,
    prompt_ids,
    side_by_side,
    text_ids,
    unfinished,
)
from selfmoe.testing.models import random_adapter, save_toy_base, tiny_llama
from selfmoe.testing.tokenizers import KINDS, Make, added, byte_level

EXAMPLE = Example("1", "math", "Add 2 and 3.", "At once.", "It is 5.")
PROMPT = alpaca(Instruction(EXAMPLE.instruction, EXAMPLE.input))
TEXTS = (PROMPT, "a", " two  spaces ", "naïve – 答え 🙂", "line\n\n")


@pytest.fixture(params=KINDS, ids=list(KINDS))
def make(request: pytest.FixtureRequest) -> Make:
    return KINDS[request.param]


def seen(tokenizer: Any, prompts: list[str]) -> list[list[int]]:
    """Return the tokens that ``generate`` asks a model with."""
    asked: list[list[int]] = []

    def answer(input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        rows = zip(input_ids, attention_mask.bool(), strict=True)
        asked.extend(ids[real].tolist() for ids, real in rows)
        return torch.cat([input_ids, torch.full((len(input_ids), 1), tokenizer.eos_token_id)], 1)

    ends = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)
    model = SimpleNamespace(device="cpu", generate=answer, generation_config=ends)
    generate(model, tokenizer, prompts, max_new_tokens=1)
    return asked


class TestPrompts:
    """A tokenizer that ends texts gives the prompts of one that does not."""

    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    def test_are_unfinished(self, make: Make, text: str) -> None:
        assert make(True)(text).input_ids != make(False)(text).input_ids
        assert prompt_ids(make(True), text) == make(False)(text).input_ids
        assert prompt_ids(make(False), text) == make(False)(text).input_ids

    def test_of_training_are_those_of_inference(self, make: Make) -> None:
        tokenizer = make(True)
        row = encode(EXAMPLE, tokenizer)
        prompt = row.ids[: row.prompt]
        assert prompt == make(False)(PROMPT).input_ids
        response = text_ids(tokenizer, "It is 5.", after=PROMPT)
        assert row.ids[row.prompt :] == [*response, tokenizer.eos_token_id]
        assert seen(tokenizer, [PROMPT, "a", PROMPT])[0] == prompt
        assert prompt_length(tokenizer, PROMPT) == len(prompt)
        sample, length = answered_ids(tokenizer, PROMPT, "It is 5.")
        assert (sample, length) == (row.ids[:-1], row.prompt)

    def test_of_lm_eval_are_those_of_training(self, make: Make) -> None:
        tokenizer = make(True)
        model = tiny_llama(vocab_size=max(320, len(tokenizer)))
        harness = HarnessModel(model, tokenizer, batch_size=2, context=1024)
        prompt = encode(EXAMPLE, tokenizer).ids[: encode(EXAMPLE, tokenizer).prompt]
        assert harness.tok_encode(PROMPT) == prompt
        ids, mask = harness.tok_batch_encode([PROMPT, "a"])
        assert ids[0].tolist() == prompt
        assert ids[1][mask[1].bool()].tolist() == make(False)("a").input_ids
        context, option = harness._encode_pair(PROMPT + "It", " is")
        assert context + option == make(False)(PROMPT + "It is").input_ids
        assert harness._encode_pair(PROMPT, "It") == (prompt, text_ids(tokenizer, "It"))

    def test_have_a_text_a_token(self, make: Make) -> None:
        tokenizer = make(True)
        assert len(pieces(tokenizer, PROMPT)) == len(prompt_ids(tokenizer, PROMPT))
        ids, start = answered_ids(tokenizer, PROMPT, "It is")
        texts = texts_of(tokenizer, ids[start:], before=ids[:start])
        assert len(texts) == len(ids) - start
        assert "".join(texts) == tokenizer.decode(ids)[len(tokenizer.decode(ids[:start])) :]
        assert texts_of(tokenizer, [], before=ids) == []

    def test_of_an_opened_tokenizer_are_the_same(self, make: Make) -> None:
        """What users of the tokenizer itself ask is unfinished then, too."""
        tokenizer = make(True)
        leave_open(tokenizer)
        for text in TEXTS:
            assert tokenizer(text).input_ids == make(False)(text).input_ids
            assert prompt_ids(tokenizer, text) == make(False)(text).input_ids
            offsets = tokenizer(text, return_offsets_mapping=True).offset_mapping
            assert len(offsets) == len(make(False)(text).input_ids)


class TestOpening:
    """What opens a text stands there once, whoever wrote it."""

    @pytest.mark.parametrize("opens", ["<bos>", "<bos> <bos>", "<bos> <bos> <bos>"])
    @pytest.mark.parametrize("text", ["Hi", "<bos>Hi", "<bos><bos>Hi"])
    def test_once(self, opens: str, text: str) -> None:
        once = [258, *text_ids(byte_level("", False), "Hi")]
        assert prompt_ids(byte_level(opens, True), text) == once
        assert seen(byte_level(opens, True), [text]) == [once]

    def test_several_tokens_stand_there_once(self) -> None:
        tokenizer = byte_level("<bos>", True)
        special = {"<pad>": 257, "<bos>": 258, "<eos>": 256}
        tokenizer.backend_tokenizer.post_processor = added("<pad> <bos>", "<eos>", special, True)
        assert prompt_ids(tokenizer, "<pad><bos>Hi")[:3] == [257, 258, *text_ids(tokenizer, "H")]
        assert prompt_ids(tokenizer, "Hi")[:3] == [257, 258, *text_ids(tokenizer, "H")]

    def test_a_text_that_spells_it_keeps_it_where_nothing_is_added(self) -> None:
        assert prompt_ids(byte_level("", True), "<bos><bos>a")[:2] == [258, 258]

    def test_a_text_that_ends_itself_keeps_its_end(self) -> None:
        assert prompt_ids(byte_level("", True), "a<eos>")[-1] == 256
        assert prompt_ids(byte_level("", False), "a<eos>")[-1] == 256

    def test_what_a_whole_text_keeps(self) -> None:
        assert unfinished(byte_level("<bos>", True), [258, 258, 1, 2, 256]) == slice(1, 4)
        assert unfinished(byte_level("<bos>", True), [258, 256]) == slice(0, 1)


def test_rows_that_end_are_padded_on_the_right() -> None:
    ids, mask = side_by_side([[1, 2, 3], [4]], 9, "right")
    assert ids.tolist() == [[1, 2, 3], [4, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert first_tokens([2, 0], 3).tolist() == [[True, True, False], [False] * 3]


def test_rows_side_by_side_are_padded_on_the_left() -> None:
    ids, mask = side_by_side([[1, 2, 3], [4]], 9)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


# --- a base that is loaded ------------------------------------------------------------------------


def loaded(folder: Path) -> LoadedBase:
    config = resolve({"base": str(folder), "domains": ["math"], "device": "cpu"})
    return bases.load_base(bases.find_base(config), config)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_toy_base(tmp_path / "base")


def test_a_loaded_base_leaves_prompts_open(folder: Path) -> None:
    before = loaded(folder)
    byte_level("", True).save_pretrained(folder)
    base = loaded(folder)
    assert base.tokenizer(PROMPT).input_ids == before.tokenizer(PROMPT).input_ids
    answers = [
        generate(one.model, one.tokenizer, ["Say:"], max_new_tokens=8) for one in (before, base)
    ]
    assert answers[0] == answers[1]


def test_composing_learns_behind_open_prompts(tmp_path: Path) -> None:
    """A tokenizer of one's own is not changed, and learns what one that adds nothing learns."""
    model = tiny_llama()
    experts = {name: random_adapter(model, tmp_path / name, seed=len(name)) for name in ("a", "bc")}
    gates = []
    for ended in (True, False):
        tokenizer = byte_level("", ended)
        told = {"experts": experts, "router": "topk", "options": {"max_steps": 2}}
        mixed = selfmoe.compose(model, data=[EXAMPLE], tokenizer=tokenizer, **told)
        gates.append(mixed.mixture.composition.tensors)
        assert (tokenizer("a").input_ids[-1] == 256) == ended
    assert gates[0].keys() == gates[1].keys()
    assert all(torch.equal(gates[0][name], gates[1][name]) for name in gates[0])


# --- tokens that the model has no row for ---------------------------------------------------------

BEYOND = {
    "one image token": [AddedToken("<image_soft_token>", special=True)],
    "four fill tokens": [f"▁<{name}>" for name in ("PRE", "MID", "SUF", "EOT")],
    "a token of no special kind": [AddedToken("supercalifragilistic", special=False)],
    "a hundred": [AddedToken(f"<extra_{number}>", special=True) for number in range(100)],
    "with a space": [AddedToken("<two words>", special=True)],
    "of another script": ["<图像>"],
}


def extended(folder: Path, tokens: list[Any], **names: str) -> Any:
    """Let the tokenizer in a folder have tokens that the model does not know."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    while len(tokenizer) < tiny_llama().config.vocab_size:
        tokenizer.add_tokens([f"<fill{len(tokenizer)}>"])
    tokenizer.add_tokens(tokens)
    tokenizer.add_special_tokens(names)
    tokenizer.save_pretrained(folder)
    return tokenizer


class TestTokensBeyondTheModel:
    @pytest.mark.parametrize("kind", BEYOND)
    def test_only_texts_that_hold_one_are_refused(self, folder: Path, kind: str) -> None:
        before = loaded(folder)
        first = str(getattr(BEYOND[kind][-1], "content", BEYOND[kind][-1]))
        extended(folder, BEYOND[kind])
        base = loaded(folder)
        assert len(base.tokenizer) > tiny_llama().config.vocab_size
        ask = partial(generate, max_new_tokens=4)
        asked = ["Say:", "Say what:"]
        assert ask(base.model, base.tokenizer, asked) == ask(before.model, before.tokenizer, asked)
        text = f"What is {first}?"
        said = rf"a prompt holds '{first}', which is a token of the tokenizer but not of the model"
        with pytest.raises(DataError, match=said):
            ask(base.model, base.tokenizer, ["Say:", text])
        harness = HarnessModel(base.model, base.tokenizer, batch_size=2, context=512)
        for encode_text in (harness.tok_encode, lambda t: harness.tok_batch_encode(["a", t])):
            with pytest.raises(DataError, match=said):
                encode_text(text)
        example = Example("7", "math", "Say it.", "", text)
        with pytest.raises(DataError, match=rf"math: example '7' holds '{first}'"):
            encode_all([EXAMPLE, example], base, "math")

    def test_ends_and_padding_that_the_model_knows_take_their_place(self, folder: Path) -> None:
        extended(folder, [], pad_token="[PAD]")
        base = loaded(folder)
        assert base.tokenizer.pad_token == "<eos>"
        assert generate(base.model, base.tokenizer, ["Say:", "Say what:"], max_new_tokens=4)

    def test_an_end_that_the_model_lacks(self, folder: Path) -> None:
        extended(folder, [], eos_token="<|im_end|>")
        edit(folder / "generation_config.json", lambda told: told.update(eos_token_id=[999, 256]))
        assert loaded(folder).tokenizer.eos_token == "<eos>"
        edit(folder / "generation_config.json", lambda told: told.pop("eos_token_id"))
        with pytest.raises(DataError, match=r"ends texts with '<\|im_end\|>', which the model has"):
            loaded(folder)

    def test_an_opening_that_the_model_lacks(self, folder: Path) -> None:
        tokenizer = extended(folder, [], bos_token="<start>")
        template = processors.TemplateProcessing(
            single="<start> $A", special_tokens=[("<start>", tokenizer.bos_token_id)]
        )
        tokenizer.backend_tokenizer.post_processor = template
        tokenizer.save_pretrained(folder)
        with pytest.raises(DataError, match="opens every text with '<start>'"):
            loaded(folder)

    def test_many_words_that_were_added_are_refused(self, folder: Path) -> None:
        extended(folder, [f"word{number}" for number in range(40)])
        with pytest.raises(DataError, match=r"do not belong together \(40 tokens of ordinary"):
            loaded(folder)

    def test_an_ordinary_vocabulary_that_is_larger_is_of_another_model(self, folder: Path) -> None:
        edit(
            folder / "tokenizer.json",
            lambda told: told["model"]["vocab"].update(zebra=700, giraffe=701),
        )
        with pytest.raises(DataError, match=r"do not belong together \(2 tokens of ordinary"):
            loaded(folder)
