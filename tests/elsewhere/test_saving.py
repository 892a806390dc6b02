"""Mixtures kept in folders of their own, and what is saved by other ways."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import selfmoe
from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.mixture.storage import model_hash
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_llama, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:router .* was given no data")
IDS = torch.arange(40, 52)[None]


@torch.no_grad()
def logits(model):
    return model.eval()(IDS).logits


@pytest.mark.parametrize("merge", ["mean", "ties", "dare", "instance"])
def test_merges_are_saved_whole(base, experts, merge, tmp_path):
    more = {"data": tiny_examples(2), "tokenizer": tiny_tokenizer()} if merge == "instance" else {}
    model = selfmoe.compose(base, experts, merge=merge, **more)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(logits(again), logits(model), atol=1e-5)
    assert not torch.allclose(logits(again), logits(base), atol=1e-5)


def test_instance_can_be_kept_as_a_mixture(base, experts, tmp_path):
    more = {"data": tiny_examples(2), "tokenizer": tiny_tokenizer()}
    model = selfmoe.compose(base, experts, merge="instance", **more)
    again = selfmoe.load_mixture(base, selfmoe.save_mixture(model, tmp_path))
    assert torch.equal(logits(again), logits(model))


def test_a_merge_in_the_weights_has_nothing_to_keep_apart(base, experts, tmp_path):
    with pytest.raises(NotSupportedError, match="save_pretrained"):
        selfmoe.save_mixture(selfmoe.compose(base, experts, merge="ties"), tmp_path)


def test_after_detach_all_methods_are_those_of_the_class(base, of, tmp_path):
    model = copy.deepcopy(of("sequence"))
    model.mixture.detach()
    left = {"save_pretrained", "push_to_hub", "generate", "generate_batch", "forward"}
    assert not left & set(vars(model))
    assert not left & set(vars(model.model))
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(logits(again), logits(base))


def test_a_method_of_the_instance_is_put_back(base, experts):
    model = copy.deepcopy(base)

    def save(*args, **options):
        return "mine"

    model.save_pretrained = save
    mixed = selfmoe.compose(model, experts, router="uniform", in_place=True)
    with pytest.raises(NotSupportedError):
        mixed.save_pretrained("nowhere")
    mixed.mixture.detach()
    assert model.save_pretrained is save


def test_copies_refuse_like_the_original(of, tmp_path):
    twin = copy.deepcopy(of("topk"))
    with pytest.raises(NotSupportedError, match=r"selfmoe\.save_mixture"):
        twin.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_copy_outlives_the_original(base, composed, tmp_path):
    model = composed("joint")  # whose experts lie in a temporary folder
    twin, want = copy.deepcopy(model), logits(model)
    del model
    again = selfmoe.load_mixture(base, selfmoe.save_mixture(twin, tmp_path))
    assert torch.equal(logits(again), want)


def test_a_folder_can_be_moved_and_written_again(base, composed, tmp_path):
    model = composed("topk")
    moved = shutil.move(selfmoe.save_mixture(model, tmp_path / "a"), tmp_path / "b")
    again = selfmoe.load_mixture(base, moved)
    selfmoe.save_mixture(again, moved)
    assert torch.equal(logits(selfmoe.load_mixture(base, moved)), logits(model))


def test_unlike_experts_are_kept(base, tmp_path):
    odd = {
        "0": random_adapter(base, tmp_path / "x", r=2, alpha=7, targets=["q_proj"], seed=1),
        "math-v2": random_adapter(base, tmp_path / "y", r=5, rslora=True, seed=2),
    }
    for trainable in (None, "experts"):
        model = selfmoe.compose(base, odd, router="topk", trainable=trainable)
        again = selfmoe.load_mixture(base, selfmoe.save_mixture(model, tmp_path / "kept"))
        assert torch.equal(logits(again), logits(model))


def test_another_base_is_refused(composed, tmp_path):
    folder = selfmoe.save_mixture(composed("topk"), tmp_path)
    other = tiny_llama(5, num_hidden_layers=2)
    before = model_hash(other)
    for base in (other, copy.deepcopy(other).bfloat16()):
        with pytest.raises(CompositionError, match="was composed on base"):
            selfmoe.load_mixture(base, folder, in_place=True)
    assert model_hash(other) == before


def test_what_is_no_mixture_is_refused(base, tmp_path):
    with pytest.raises(CompositionError, match="holds no mixture"):
        selfmoe.load_mixture(base, tmp_path)
    with pytest.raises(CompositionError, match="carries no mixture"):
        selfmoe.save_mixture(base, tmp_path)


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_experts_that_are_not_what_was_composed_are_not_written(base, tmp_path, how):
    path = random_adapter(base, tmp_path / "a")
    model = selfmoe.compose(base, {"a": path}, router="uniform")
    if how == "gone":
        shutil.rmtree(path)
    else:
        config = json.loads((path / "adapter_config.json").read_text())
        (path / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 5}))
    with pytest.raises(CompositionError, match="expert 'a' cannot be written"):
        selfmoe.save_mixture(model, tmp_path / "kept")


def test_a_single_expert_is_saved_in_the_weights(base, experts, tmp_path):
    """Systems of a run that are one expert are no mixture to keep, and lose nothing either."""
    from selfmoe.contracts.records import Composition
    from selfmoe.mixture.runtime import attach
    from selfmoe.testing.routing import Given

    model = copy.deepcopy(base)
    attach(
        model, Given(None), Composition("given", {}, (), owned={"math": Path(experts["math"])}), {}
    )
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(logits(again), logits(model), atol=1e-5)
    assert not torch.allclose(logits(again), logits(base), atol=1e-3)
