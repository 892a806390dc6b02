"""What a base computes is counted at its embedding, and told in operations by its shapes."""

from __future__ import annotations

import pytest
import torch

from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.meter import Meter
from selfmoe.models.operations import Matrices, matrices_of
from selfmoe.store.costs import Tokens
from selfmoe.testing.models import tiny_gpt2, tiny_llama


@pytest.fixture
def watched():
    model, meter = tiny_llama(), Meter()
    meter.watch(model)
    return model, meter


def test_texts_are_read_and_then_written_token_by_token(watched):
    model, meter = watched
    ids = torch.arange(10).reshape(2, 5)
    model.generate(ids, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0)
    # the last token that is written is not read again
    assert meter.tokens == Tokens(read=10, written=2 * 3)


def test_what_is_learnt_from_is_counted_once(watched):
    model, meter = watched
    model.requires_grad_(True)
    ids = torch.arange(6).reshape(2, 3)
    with checkpointing(model, True):
        model.train()(ids, labels=ids).loss.backward()
    assert meter.tokens == Tokens(learnt=6)


def test_a_count_goes_on_from_an_earlier_one(watched):
    model, meter = watched
    with torch.no_grad():
        model(torch.arange(3)[None])
        before = meter.tokens
        model(torch.arange(4)[None])
    assert meter.tokens.since(before) == Tokens(read=4)


def test_answers_and_weights_are_what_they_were():
    model, other, ids = tiny_llama(), tiny_llama(), torch.arange(6)[None]
    Meter().watch(model)
    assert torch.equal(model(ids).logits, other(ids).logits)
    assert model.state_dict().keys() == other.state_dict().keys()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_weights_are_those_that_tokens_are_multiplied_with(tmp_path, make, tied):
    model = make() if make is tiny_gpt2 else make(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    head = model.get_output_embeddings().weight.numel()
    tables = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices = [p for p in model.parameters() if p.dim() > 1 and id(p) not in tables]
    assert matrices_of(tmp_path) == Matrices(sum(p.numel() for p in matrices), head)


def test_operations_are_two_a_weight_and_two_more_to_learn():
    weights = Matrices(blocks=100, head=10)
    assert weights.operations(Tokens(read=3)) == 2 * 3 * 100
    assert weights.operations(Tokens(written=3)) == 2 * 3 * 110
    assert weights.operations(Tokens(learnt=3)) == 4 * 3 * 110
