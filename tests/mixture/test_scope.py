"""What gates are told about tokens, and what records count."""

from __future__ import annotations

import math

import pytest
import torch

from selfmoe.contracts.composer import TokenInfo
from selfmoe.mixture.forward.record import Record
from selfmoe.mixture.forward.scope import Annotation, token_info
from selfmoe.mixture.runtime import attach
from selfmoe.testing.routing import logits, random_theta, refer, tokens
from selfmoe_router_topk import TopK


class Cache:
    def __init__(self, length):
        self.length = length

    def get_seq_length(self):
        return self.length


PROMPT = torch.tensor([[True, True, False], [True, True, True]])


def test_nothing_is_known_without_tokens():
    assert token_info({}, Annotation(PROMPT, ("a", "b"))) == TokenInfo()


def test_beams_repeat_what_was_said_of_their_row():
    ids = torch.zeros(4, 3, dtype=torch.long)
    info = token_info({"input_ids": ids}, Annotation(PROMPT, ("a", "b")))
    assert info.domain == ("a", "a", "b", "b")
    assert torch.equal(info.prompt_mask, PROMPT.repeat_interleave(2, 0))


@pytest.mark.parametrize(
    ("past", "time", "expected"),
    [
        (0, 3, [[1, 1, 0], [1, 1, 1]]),
        (2, 2, [[0, 0], [1, 0]]),
        (3, 1, [[0], [0]]),
        (9, 1, [[0]] * 2),
    ],
)
def test_tokens_beyond_the_prompt_are_responses(past, time, expected):
    arguments = {
        "input_ids": torch.zeros(2, time, dtype=torch.long),
        "past_key_values": Cache(past),
    }
    info = token_info(arguments, Annotation(PROMPT))
    assert torch.equal(info.prompt_mask, torch.tensor(expected).bool())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [[0, 1, 2], [0, 1, 2]]),
        ({"past_key_values": Cache(4)}, [[4, 5, 6], [4, 5, 6]]),
        ({"attention_mask": torch.tensor([[0, 1, 1], [1, 1, 1]])}, [[0, 0, 1], [0, 1, 2]]),
        (
            {"attention_mask": torch.tensor([[0, 1, 1, 1, 1]] * 2), "past_key_values": Cache(2)},
            [[1, 2, 3]] * 2,
        ),
        ({"position_ids": torch.tensor([[7, 8, 9]])}, [[7, 8, 9]] * 2),
    ],
)
def test_positions_are_always_known(arguments, expected):
    info = token_info({"input_ids": torch.zeros(2, 3, dtype=torch.long), **arguments}, Annotation())
    assert info.position_ids.tolist() == expected


def test_padding_is_known_from_every_kind_of_mask():
    def known(mask, **arguments):
        ids = torch.zeros(1, 3, dtype=torch.long)
        said = {"input_ids": ids, "attention_mask": mask, **arguments}
        return token_info(said, Annotation()).attention_mask

    plain = torch.ones(1, 3)
    assert known(plain) is plain
    attends = torch.tensor([0, 1, 1, 1, 1, 1]).bool() & torch.ones(3, 6).tril(2).bool()
    prepared = attends[None, None]
    added = torch.zeros(1, 1, 3, 6).masked_fill(~prepared, torch.finfo(torch.float32).min)
    for mask in (prepared, added, {"sliding": None, "full_attention": prepared}):
        assert known(mask).tolist() == [[0, 1, 1]]
        assert known(mask, past_key_values=Cache(1)).tolist() == [[1, 1, 1]]
    assert known(prepared[..., :2]) is None
    assert known({}) is None
    assert known(None) is None


def test_record_tells_prompt_from_response_and_leaves_padding_out():
    record = Record(2, ("a", "b"))
    alpha = torch.tensor([[[0.9, 0.0], [0.0, 0.6], [0.5, 0.0]]])
    info = TokenInfo(
        attention_mask=torch.tensor([[0, 1, 1]]), prompt_mask=torch.tensor([[True, True, False]])
    )
    record.add(0, alpha, info)
    assert (record.tokens(), record.tokens("prompt"), record.tokens("response")) == (2, 1, 1)
    torch.testing.assert_close(record.mean()[0], torch.tensor([0.25, 0.3]).double())
    torch.testing.assert_close(record.mean("prompt")[0], torch.tensor([0.0, 0.6]).double())
    assert record.mean()[1].tolist() == [0, 0]
    assert record.shares("response") == {"a": 1.0, "b": 0.0}
    assert record.traces == []


@torch.no_grad()
def test_a_gate_that_is_asked_once_counts_in_every_block(llama, llama_experts):
    once = {"inputs": "embedding"}
    made = refer(llama_experts, tensors={"theta": random_theta(3)}, options=once)
    with (
        attach(llama, TopK(), made, llama_experts) as mixture,
        mixture.record(trace=True) as record,
    ):
        logits(llama, tokens())
    first = record.mean()[0]
    assert first.sum() > 0
    assert torch.equal(record.mean(), first.expand(3, 3))
    assert record.traces[0].weights.amax(-1).min() > 1 / 3


def test_entropy_is_that_of_each_token_s_weights():
    alpha = torch.tensor([[[0.2, 0.2], [0.7, 0.0], [0.1, 0.3], [0.0, 0.0]]])
    mask = torch.tensor([[1, 1, 1, 1]])
    prompt = torch.tensor([[True, True, False, False]])
    record = Record(2, ["a", "b"])
    info = TokenInfo(attention_mask=mask, prompt_mask=prompt)
    record.add(0, alpha, info)
    record.add(1, torch.full_like(alpha, 0.5), info)
    naive = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert record.entropy("prompt") == pytest.approx((0.5 + 1) / 2)
    assert record.entropy("response") == pytest.approx((naive / 2 + 1) / 2)
    assert record.entropy() == pytest.approx(((1 + naive) / 4 + 1) / 2)
