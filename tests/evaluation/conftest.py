from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.records import Instruction
from selfmoe.testing import models


def tiny_llama() -> Any:
    torch.set_num_threads(1)
    return models.tiny_llama(max_position_embeddings=4096)


def byte_tokenizer(bos: bool = True) -> Any:
    return models.tiny_tokenizer(bos=bos)


class Oracle(torch.nn.Module):
    """Answers every prompt it knows the answer to; counts how often it is asked."""

    device = torch.device("cpu")

    def __init__(self, tokenizer: Any, answers: Mapping[str, str]) -> None:
        super().__init__()
        self.config = tiny_llama().config
        self.tokenizer = tokenizer
        self.answers = {
            tuple(tokenizer(prompt)["input_ids"]): tokenizer(answer, add_special_tokens=False)[
                "input_ids"
            ]
            for prompt, answer in answers.items()
        }
        self.asked = 0

    def tie_weights(self) -> None: ...

    def generate(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        end, pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        rows = []
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            self.asked += 1
            rows.append([*self.answers[tuple(ids[mask.bool()].tolist())], end])
        longest = max(map(len, rows))
        answers = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        return torch.cat([input_ids, answers], dim=1)

    def forward(self, input_ids: Any) -> Any:
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            for prompt, answer in self.answers.items():
                if tuple(ids[: len(prompt)]) == prompt:
                    for offset, token in enumerate(answer):
                        position = len(prompt) - 1 + offset
                        if position < len(ids):
                            logits[row, position, token] = 9.0
        return type("Output", (), {"logits": logits})


class Sums(Benchmark):
    """A little benchmark with and without options."""

    name = "sums"
    template = "alpaca"
    max_new_tokens = 6
    stop = ("\n",)
    items: Sequence[Mapping[str, Any]] = ()
    pool: Sequence[Mapping[str, Any]] = ()

    def __init__(self, n: int = 40, options: Sequence[str] | None = None) -> None:
        self.items = [{"id": f"s{i}", "a": i, "b": i % 7} for i in range(n)]
        self.pool = [{"id": f"p{i}", "a": 100 + i, "b": i} for i in range(8)]
        self.options = options

    def ask(self, doc: Mapping[str, Any]) -> Instruction:
        return Instruction("Add.", f"{doc['a']} + {doc['b']}")

    def choices(self, doc: Mapping[str, Any]) -> Sequence[str] | None:
        return self.options

    def score(self, doc: Mapping[str, Any], completion: str) -> Mapping[str, float]:
        return {"score": float(completion.strip() == self.gold(doc))}

    def gold(self, doc: Mapping[str, Any]) -> str:
        if self.options:
            return self.options[(doc["a"] + doc["b"]) % len(self.options)]
        return str(doc["a"] + doc["b"])

    def wrong(self, doc: Mapping[str, Any]) -> str:
        return str(doc["a"] - doc["b"] - 1)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the few items of these tests be several shards."""
    monkeypatch.setattr("selfmoe.evaluation.bridge._SHARD", 16)


@pytest.fixture
def tokenizer() -> Any:
    return byte_tokenizer()


@pytest.fixture
def sums() -> Benchmark:
    return Sums()


@pytest.fixture
def make_sums() -> Any:
    return Sums


@pytest.fixture
def make_oracle() -> Any:
    return Oracle


@pytest.fixture
def make_tokenizer() -> Any:
    return byte_tokenizer


@pytest.fixture
def llama() -> Any:
    return tiny_llama()
