"""What trainers from outside change, what they write, and what they find frozen."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

import selfmoe
from selfmoe.contracts.errors import CompositionError, NotSupportedError, UnknownNameError
from selfmoe.mixture.storage import model_hash
from selfmoe.testing.models import tiny_examples, tiny_llama, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:router .* was given no data")
IDS = torch.arange(40, 52)[None]


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def opened(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def trained(model, folder, rows=None, resume=None, **settings):
    rows = rows or [{"input_ids": IDS[0], "labels": IDS[0]}] * 4
    how = {"max_steps": 2, "save_steps": 1, "learning_rate": 1e-2, "report_to": []} | settings
    arguments = TrainingArguments(str(folder), use_cpu=True, disable_tqdm=True, **how)
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.train(resume_from_checkpoint=resume)
    return folder / f"checkpoint-{how['max_steps']}"


# --- what is open ---------------------------------------------------------------------------------


@pytest.mark.parametrize("router", ["topk", "xlora", "sequence", "arrow", "uniform"])
def test_all_is_frozen_by_default(composed, router):
    assert opened(composed(router, on=tiny_llama(num_hidden_layers=2).requires_grad_(True))) == []


@pytest.mark.parametrize("router", ["topk", "topp", "xlora", "sequence", "ridge", "joint"])
def test_a_router_opens_its_gate(composed, router):
    names = opened(composed(router, trainable="router"))
    assert names
    assert all(name.startswith("selfmoe_gate.") for name in names)


@pytest.mark.parametrize("router", ["topk", "arrow", "xlora", "uniform", "joint"])
def test_experts_open_a_and_b_and_nothing_else_changes(composed, of, router):
    model = composed(router, trainable="experts")
    names = opened(model)
    assert all(".selfmoe_delta.factors_" in name for name in names)
    assert len(names) == 2 * 3 * 7 * 2  # A and B of three experts on seven layers of two blocks
    assert torch.equal(logits(model), logits(of(router)))


def test_both_can_be_opened(composed):
    both = opened(composed("topk", trainable=("experts", "router")))
    assert any("gate" in name for name in both) and any("factors_a" in name for name in both)


def test_detaching_gives_back_what_required_a_gradient(composed, experts):
    for trainable in (None, "router", "experts"):
        base = tiny_llama(num_hidden_layers=2)
        base.lm_head.weight.requires_grad_(True)
        before = model_hash(base)
        model = selfmoe.compose(base, experts, router="topk", in_place=True, trainable=trainable)
        assert "lm_head.weight" not in opened(model)
        model.mixture.detach()
        assert opened(base) == ["lm_head.weight"]
        assert model_hash(base) == before


def test_a_merge_requires_gradients_where_the_base_does(experts):
    base = tiny_llama(num_hidden_layers=2).requires_grad_(True)
    model = selfmoe.compose(base, experts, merge="ties")
    assert opened(model) == [name for name, _ in base.named_parameters()]
    assert opened(selfmoe.compose(base.requires_grad_(False), experts, merge="mean")) == []


@pytest.mark.parametrize(
    ("made", "trainable", "error", "says"),
    [
        ({"router": "topk"}, "base", UnknownNameError, "no trainable part named 'base'"),
        ({"router": "topk"}, ("router", "expert"), UnknownNameError, "did you mean 'experts'"),
        ({"router": "uniform"}, "router", NotSupportedError, "has no parameters"),
        ({"merge": "ties"}, "router", NotSupportedError, "no router to train"),
        ({"merge": "mean"}, "experts", NotSupportedError, "into the weights"),
    ],
)
def test_what_there_is_not_cannot_be_opened(base, experts, made, trainable, error, says):
    with pytest.raises(error, match=says):
        selfmoe.compose(base, experts, trainable=trainable, **made)


def test_experts_learn_as_peft_teaches_them(base, experts, tmp_path):
    """One step of SGD on one expert that counts fully is that of PEFT, s and all."""
    from peft import PeftModel

    theirs = PeftModel.from_pretrained(
        copy.deepcopy(base), experts["math"], is_trainable=True
    ).train()
    one = {"math": experts["math"]}
    ours = selfmoe.compose(base, one, router="uniform", trainable="experts").train()
    for model in (theirs, ours):
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        model(IDS, labels=IDS).loss.backward()
        optimizer.step()
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-4)
    assert not torch.allclose(logits(ours), logits(base), atol=1e-2)
    selfmoe.save_mixture(ours, tmp_path)
    again = PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path / "experts" / "math"))
    assert torch.allclose(logits(again), logits(theirs), atol=1e-4)


def test_what_is_changed_behind_the_back_counts(composed):
    model = composed("topk", trainable="experts")
    before = logits(model)
    for name, parameter in model.named_parameters():
        if "factors_b" in name:
            parameter.data.mul_(2.0)  # as averaging of weights does
    assert not torch.allclose(logits(model), before, atol=1e-3)


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("router", "trainable"),
    [
        ("topk", "router"),
        ("topk", ("router", "experts")),
        ("joint", "experts"),
        ("arrow", "experts"),
        ("xlora", "router"),
    ],
)
def test_a_checkpoint_loads_again(base, composed, tmp_path, router, trainable):
    model = composed(router, trainable=trainable)
    before = logits(model)
    folder = trained(model, tmp_path)
    assert not torch.equal(logits(model), before)
    assert torch.equal(logits(selfmoe.load_mixture(base, folder)), logits(model))
    with pytest.raises((OSError, ValueError), match=r"config\.json"):  # and not as the base alone
        AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("trainable", ["router", "experts"])
def test_training_resumes(composed, tmp_path, trainable):
    whole, parts = (composed("topk", trainable=trainable) for _ in range(2))
    trained(whole, tmp_path / "whole", max_steps=3)
    folder = trained(parts, tmp_path / "parts", max_steps=2, lr_scheduler_type="constant")
    again = composed("topk", trainable=trainable)
    trained(again, tmp_path / "parts", max_steps=3, resume=str(folder))
    assert not torch.equal(logits(again), logits(parts))
    assert set(opened(again)) == set(opened(whole))


def test_what_was_loaded_from_a_checkpoint_outlives_it(base, composed, tmp_path):
    import shutil

    folder = trained(composed("topk", trainable="router"), tmp_path)
    model = selfmoe.load_mixture(base, folder, trainable="router")
    shutil.rmtree(folder)  # as save_total_limit does
    assert opened(model) == ["selfmoe_gate.theta"]
    assert (selfmoe.save_mixture(model, tmp_path / "more") / "experts" / "math").is_dir()


def test_gradient_checkpointing_changes_no_step(composed, tmp_path):
    plain, saving = (composed("topk", trainable=("router", "experts")) for _ in range(2))
    trained(plain, tmp_path / "a")
    trained(saving, tmp_path / "b", gradient_checkpointing=True)
    assert torch.allclose(logits(plain), logits(saving), atol=1e-5)


# --- what a router has to be told -----------------------------------------------------------------


def test_sequence_reads_its_prompt_from_labels(composed):
    model = composed("sequence")
    labels = IDS.clone()
    labels[:, :5] = -100
    with model.mixture.annotate(prompt_mask=torch.arange(12)[None] < 5):
        expected = logits(model)
    with torch.no_grad():
        assert torch.equal(model(IDS, labels=labels).logits, expected)
    assert not torch.equal(logits(model), expected)


def test_sequence_refuses_labels_without_a_prompt_and_packed_rows(composed):
    model = composed("sequence")
    with pytest.raises(NotSupportedError, match="a label on every token"):
        model(IDS, labels=IDS)
    labels, places = IDS.clone(), torch.arange(12)[None] % 6
    labels[:, :3] = -100
    with pytest.raises(NotSupportedError, match="several texts lie in one row"):
        model(IDS, labels=labels, position_ids=places)


def test_only_what_answers_may_be_labelled_by_sequence_training(composed, tmp_path):
    rows = [{"input_ids": IDS[0], "labels": IDS[0]}] * 2
    with pytest.raises(NotSupportedError, match="decides from the prompt"):
        trained(composed("sequence", trainable="router"), tmp_path, rows)


def test_a_run_s_router_goes_on_learning(composed):
    """What compose has trained can be opened, too."""
    more = {"data": tiny_examples(4), "tokenizer": tiny_tokenizer()}
    assert opened(composed("topk", trainable="router", **more)) == ["selfmoe_gate.theta"]


# --- a base that TRL has trained ------------------------------------------------------------------


def test_a_base_whose_forward_holds_on_to_it_is_not_copied(experts):
    """TRL puts such a forward in the place of a model's: a copy would run the original."""
    from types import MethodType

    base = tiny_llama(num_hidden_layers=2)
    plain = base.forward

    def forward(self, *args, **inputs):
        return plain(*args, **inputs)

    base.forward = MethodType(forward, base)
    with pytest.raises(CompositionError, match="save it and load it again, or give in_place=True"):
        selfmoe.compose(base, experts, router="uniform")
    before = logits(base)
    model = selfmoe.compose(base, experts, router="uniform", in_place=True)
    assert not torch.allclose(logits(model), before, atol=1e-3)


def test_sequence_is_told_prompts_whatever_forward_trainers_put_there(composed):
    model = composed("sequence")
    labels = IDS.clone()
    labels[:, :5] = -100
    with torch.no_grad():
        expected = model(IDS, labels=labels).logits
        plain = model.forward
        model.forward = lambda ids, labels=None: plain(ids)  # keeps the labels for itself
        assert torch.equal(model(IDS, labels=labels).logits, expected)
    assert model.mixture.said.prompt_mask is None
