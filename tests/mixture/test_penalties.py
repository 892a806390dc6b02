"""Load-balance and z-loss: their formulas, in parts or at once, recomputed or not."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import IGNORE
from selfmoe.contracts.records import Expert
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import reference
from selfmoe.models.fitting.batches import collate, encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.compare import assert_close
from selfmoe.testing.models import random_adapter, tiny_base, tiny_examples
from selfmoe_router_topk import TopK

NAMES = ("math", "coding", "facts")
WEIGHTS = {"load_balance": 0.7, "z_loss": 0.3}


@pytest.fixture
def context(tmp_path):
    base = tiny_base()
    experts = {
        name: Expert(name, random_adapter(base.model, tmp_path / name, r=2 + i, seed=i))
        for i, name in enumerate(NAMES)
    }
    data = tiny_examples(6, NAMES)
    return ComposeContext(base, experts, data, None, Fit(), 0, tmp_path / "work", reference)


@pytest.fixture
def gradients(monkeypatch):
    """Return the gradients of all steps, as the optimizer saw them."""
    seen = []
    step = torch.optim.AdamW.step

    def spy(self, *arguments):
        seen.extend(p.grad.clone() for group in self.param_groups for p in group["params"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    return seen


def router(**options):
    known = {"batch_size": 6, "max_steps": 1, "clip": 1e9, "init_std": 0.5}
    return TopK(TopK.Config(**{**known, **options}))


def naive_gradient(ctx, load_balance, z_loss):
    """Return the gradient for θ of a step by the papers' formulas, block after block."""
    start = router().compose(ctx._replace(data=[]))
    rows = [encode(example, ctx.base.tokenizer) for example in ctx.data]
    batch = collate(rows, 257, torch.device("cpu"))
    with attach(ctx.base.model, router(), start, ctx.experts) as mixture:
        mixture.gate.keep_all = True
        theta = mixture.gate.theta.requires_grad_(True)
        seen = []
        mixture.gate.listener = seen.append
        logits = ctx.base.model(batch.input_ids, batch.attention_mask).logits
    loss = cross_entropy(logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten())
    for block in seen:
        tokens = [z for row, label in zip(block, batch.labels, strict=True)
                  for z, y in zip(row, label, strict=True) if y != IGNORE]  # fmt: skip
        f = [sum(int(z.argmax()) == i for z in tokens) / len(tokens) for i in range(3)]
        p = [sum(z.softmax(-1)[i] for z in tokens) / len(tokens) for i in range(3)]
        loss = loss + load_balance * 3 * sum(f[i] * p[i] for i in range(3)) / len(seen)
        squares = [torch.log(z.exp().sum()) ** 2 for z in tokens]
        loss = loss + z_loss * sum(squares) / len(tokens) / len(seen)
    return torch.autograd.grad(loss, theta)[0]


@pytest.mark.parametrize("weights", [{"load_balance": 0.7}, {"z_loss": 0.3}, WEIGHTS])
def test_equals_the_papers_formulas(context, gradients, weights):
    router(**weights).compose(context)
    naive = naive_gradient(context, **({"load_balance": 0.0, "z_loss": 0.0} | weights))
    plain = naive_gradient(context, 0.0, 0.0)
    assert_close(gradients[0], naive)
    assert (naive - plain).abs().max() > 0.05 * plain.abs().max()


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("inputs", ["block_input", "embedding", "per_width", "per_linear"])
def test_parts_of_a_step_give_the_gradient_of_the_whole(context, gradients, size, inputs):
    for micro in (None, size):
        options = {**WEIGHTS, "inputs": inputs, "micro_batch_size": micro}
        work = context.work / str(micro)
        router(**options).compose(context._replace(work=work))
    whole, parts = gradients[: len(gradients) // 2], gradients[len(gradients) // 2 :]
    largest = max(float(g.abs().max()) for g in whole)
    for one, other in zip(whole, parts, strict=True):
        assert (one - other).abs().max() < 1e-5 * largest


@pytest.mark.parametrize("inputs", ["block_input", "per_linear"])
@pytest.mark.parametrize("micro", [None, 4])
def test_recomputed_activations_give_the_same_gradient(context, gradients, inputs, micro):
    for saving in (False, True):
        options = {"inputs": inputs, "gradient_checkpointing": saving, "micro_batch_size": micro}
        router(**WEIGHTS, **options).compose(context._replace(work=context.work / str(saving)))
    plain, saved = gradients[: len(gradients) // 2], gradients[len(gradients) // 2 :]
    for one, other in zip(plain, saved, strict=True):
        torch.testing.assert_close(one, other)


def test_the_reported_loss_is_without_them(context):
    losses = [
        router(**weights).compose(context._replace(work=context.work / str(len(weights)))).report
        for weights in ({}, WEIGHTS)
    ]
    assert losses[0]["first_loss"] == pytest.approx(losses[1]["first_loss"])


def test_load_balance_evens_out_what_the_experts_get(context):
    shares = {}
    for weight in (0.0, 10.0):
        learns = router(load_balance=weight, init_std=0.02, epochs=20, max_steps=None, lr=0.05)
        made = learns.compose(context._replace(work=context.work / str(weight)))
        with attach(context.base.model, router(), made, context.experts) as mixture:
            rows = [encode(example, context.base.tokenizer) for example in context.data]
            batch = collate(rows, 257, torch.device("cpu"))
            with mixture.record() as record, mixture.annotate(prompt_mask=batch.prompt_mask):
                context.base.model(batch.input_ids, batch.attention_mask)
        shares[weight] = max(record.shares("response").values())
    assert shares[10.0] < shares[0.0] - 0.1


def test_the_penalty_stops_with_the_loss_at_numbers_that_are_none(context):
    with pytest.raises(StageError, match=r"gradient norm (nan|inf)"):
        router(z_loss=1e38, init_std=1e4).compose(context)
