"""Beginnings that prompts share are read once: the same losses and gradients, fewer tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfmoe.contracts.fitting import IGNORE, Batch
from selfmoe.contracts.records import Example
from selfmoe.models.fitting.batches import Encoded, collate, encode, parts_of
from selfmoe.models.fitting.beginnings import beginning
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.models.fitting.reading import ResponseLoss
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_examples, tiny_llama, tiny_tokenizer
from selfmoe.testing.sparse import SPARSE

CPU = torch.device("cpu")
RECURRENT = {"qwen3_next", "granitemoehybrid", "lfm2_moe", "jamba"}
"""Families whose layers keep more of the past than keys and values."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def some(n: int = 5) -> Batch:
    rows = [encode(example, tiny_tokenizer()) for example in tiny_examples(n)]
    rows[0].ids.extend(rows[0].ids[-4:])  # so that others are padded
    return collate(rows, 257, CPU)


def gradients(model: Any, loss: Tensor) -> list[Tensor]:
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(loss, learns))


def naive(model: Any, batch: Batch) -> Tensor:
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    targets = batch.labels[:, 1:].flatten()
    return cross_entropy(logits[:, :-1].flatten(0, 1), targets, reduction="sum")


@pytest.mark.parametrize("family", [*FAMILIES, *SPARSE])
def test_equals_reading_every_row_whole(family: str) -> None:
    model, batch = tiny_model(family), some()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("norm" in name or "ln" in name or ".0." in name)
    read = ResponseLoss(model)
    assert read.apart == (family not in RECURRENT)
    ours, theirs = read(batch), naive(model, batch)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    expected = gradients(model, theirs)
    largest = max(float(one.abs().max()) for one in expected)
    for one, other in zip(gradients(model, ours), expected, strict=True):
        assert (one - other).abs().max() <= 2e-5 * largest


def tokens_read(model: Any, batch: Batch, read: ResponseLoss) -> int:
    seen: list[int] = []
    embeddings = model.get_input_embeddings()
    hook = embeddings.register_forward_pre_hook(lambda module, given: seen.append(given[0].numel()))
    read(batch)
    hook.remove()
    return sum(seen)


def test_the_beginning_is_read_once() -> None:
    model, batch = tiny_llama(), some(5)
    size, every = beginning(batch), batch.input_ids.numel()
    assert size > 100  # a token is a byte here
    assert tokens_read(model, batch, ResponseLoss(model)) < every - 3 * size
    assert tokens_read(model, batch, ResponseLoss(model, apart=False)) == every


def test_what_learns_may_be_an_adapter_unless_it_drops() -> None:
    for dropout in (0.0, 0.1):
        config = LoraConfig(lora_dropout=dropout, target_modules="all-linear")
        model = get_peft_model(tiny_llama(), config).train()
        assert ResponseLoss(model).apart == (dropout == 0)
    assert not ResponseLoss(tiny_model("gpt2").train()).apart  # it has dropout of its own


def test_recomputed_blocks_read_rows_whole() -> None:
    model, batch = tiny_llama(), some()
    read = ResponseLoss(model)
    assert read.apart
    with checkpointing(model):
        assert tokens_read(model, batch, read) == batch.input_ids.numel()


def batch_of(*rows: tuple[list[int], int]) -> Batch:
    return collate([Encoded(ids, prompt, "") for ids, prompt in rows], 0, CPU)


@pytest.mark.parametrize(("rows", "size"), [
    ([([1, 2, 3, 4, 5], 4), ([1, 2, 3, 6, 5], 4)], 3),
    ([([1, 2, 3, 4, 5], 3), ([1, 2, 3, 4, 5, 6], 5)], 2),  # the last of each prompt is left over
    ([([1, 2, 3], 2), ([4, 2, 3], 2)], 0),
    ([([1, 2, 3, 4, 5], 4)], 0),  # there is nobody to share with
])  # fmt: skip
def test_beginnings_end_before_the_prompts_do(rows: Any, size: int) -> None:
    assert beginning(batch_of(*rows)) == size


def test_parts_hold_rows_that_begin_alike() -> None:
    pairs = [("", "1"), ("2 + 2", "4"), ("", "33"), ("3 + 3", "6")]
    made = [Example("0", "math", "Add.", asked, answer) for asked, answer in pairs]
    rows = [encode(example, tiny_tokenizer()) for example in made]
    rows = [Encoded(row.ids[::5], row.prompt // 5, row.domain) for row in rows]  # words, as it were
    apart = parts_of(rows, None, CPU, alike=True)
    assert [len(part) for part in apart] == [2, 2]
    for part in apart:
        assert beginning(collate(part, 0, CPU)) > 10
    assert [len(part) for part in parts_of(rows, None, CPU)] == [4]


def test_labels_of_the_rest_are_those_of_the_whole() -> None:
    batch = some()
    assert (batch.labels[:, : beginning(batch)] == IGNORE).all()
