"""A routed model by each router, tiny and alike, and what is asked of it."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch

import selfmoe
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_llama, tiny_tokenizer

NAMES = ("math", "coding", "facts")
OPTIONS = {
    "topk": {"init_std": 0.6},
    "topp": {"init_std": 0.6},
    "phatgoose": {"max_steps": 2},
    "joint": {"max_steps": 2, "lr": 0.05},
    "xlora": {"init_std": 0.6},
    "sequence": {"init_std": 0.6},
    "retrieval": {"m": 2},
}
LEARNING = (
    "phatgoose",
    "ridge",
    "joint",
    "retrieval",
)  # those that cannot be composed without data


@pytest.fixture(scope="session")
def base():
    """Return the base; no test changes it."""
    return tiny_llama(num_hidden_layers=2, initializer_range=0.15)


@pytest.fixture(scope="session")
def experts(base, tmp_path_factory):
    """Return three adapters."""
    room = tmp_path_factory.mktemp("experts")
    return {name: str(random_adapter(base, room / name, seed=i)) for i, name in enumerate(NAMES)}


@pytest.fixture(scope="session")
def composed(base, experts):
    """Return what composes by a router."""

    def compose(router, on=None, **more):
        if router in LEARNING:
            more |= {"data": tiny_examples(6, NAMES), "tokenizer": tiny_tokenizer()}
        options = OPTIONS.get(router, {})
        return selfmoe.compose(on or base, experts, router=router, options=options, **more)

    return compose


@pytest.fixture(scope="session")
def of(composed):
    """Return a routed model of each router, made once."""
    return cache(composed)


@pytest.fixture
def routed(of, router):
    """Return a routed model that the test may do with what it likes."""
    return copy.deepcopy(of(router))


ROWS = [([1, 2, 3, 4, 5, 6], 3), ([7, 8, 9, 10, 11, 12], 2)]
"""Token ids, and how many of them are the prompt."""


@pytest.fixture
def train(composed, router, tmp_path):
    """Return what lets transformers' Trainer do two steps, and says which tensors changed."""
    from transformers import Trainer, TrainingArguments

    def trained(trainable):
        model = composed(router, trainable=trainable)
        rows = [
            {"input_ids": torch.tensor(ids), "labels": torch.tensor([-100] * n + ids[n:])}
            for ids, n in ROWS * 2
        ]
        before = copy.deepcopy(model.state_dict())
        settings = TrainingArguments(**SETTINGS, output_dir=str(tmp_path))
        Trainer(model=model, args=settings, train_dataset=rows).train()
        return changed(model, before)

    return trained


@pytest.fixture
def train_sft(composed, router, tmp_path):
    """Return the same by TRL's SFTTrainer, with all that can be trained."""
    trl = pytest.importorskip("trl", reason="TRL is not installed: pip install trl")
    from datasets import Dataset

    def trained():
        fixed = router in ("arrow", "phatgoose", "uniform", "random", "oracle", "retrieval")
        model = composed(router, trainable="experts" if fixed else ("router", "experts"))
        rows = [{"prompt": "Add 1 and 2.", "completion": " 3"}] * 4
        before = copy.deepcopy(model.state_dict())
        settings = trl.SFTConfig(**SETTINGS, output_dir=str(tmp_path), max_length=64, bf16=False)
        trainer = trl.SFTTrainer(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=tiny_tokenizer(),
        )
        trainer.train()
        return changed(model, before)

    return trained


SETTINGS = {
    "per_device_train_batch_size": 2,
    "max_steps": 2,
    "learning_rate": 1e-2,
    "report_to": [],
    "use_cpu": True,
    "disable_tqdm": True,
    "logging_strategy": "no",
}


def changed(model, before):
    """Return the names of the tensors that are not what they were."""
    return [name for name, t in model.state_dict().items() if not torch.equal(t, before[name])]
