"""Every router that learns does so from the same loss, whether all logits are computed or not."""

from __future__ import annotations

import pytest
import torch

from selfmoe.models.fitting import batches, chunks, reading
from selfmoe.registry.registry import registry

QUICK = {"max_steps": 3, "batch_size": 6, "lr": 0.01}
LEARNED = {
    "topk": {"k": 2},
    "topk, per_linear": {"inputs": "per_linear"},
    "topk, penalties": {"load_balance": 0.7, "z_loss": 0.3},
    "topk, penalties in parts": {"load_balance": 0.7, "z_loss": 0.3, "micro_batch_size": 4},
    "topk, recomputed": {"gradient_checkpointing": True, "micro_batch_size": 4},
    "topp": {},
    "sequence": {},
    "sequence, base": {"inputs": "base"},
    "xlora": {},
    "xlora, layerwise": {"layerwise": True, "depth": 2, "size": 8},
    "phatgoose": {},
    "joint": {"k": 2},
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", LEARNED)
def test_a_router_learns_the_same(three, case, monkeypatch):
    options = QUICK | LEARNED[case]
    router = registry().configure("router", case.partition(",")[0], options)
    made, heads = [], []
    for tail, at_once in ((lambda *given: None, 10**9), (reading.tail_of, 150)):

        def seen(*given, tail=tail):
            heads.append(tail(*given))
            return heads[-1]

        monkeypatch.setattr(reading, "tail_of", seen)
        monkeypatch.setattr(batches, "_AT_ONCE_ON_CPUS", at_once)
        monkeypatch.setattr(chunks, "AT_ONCE", 7 * 288)
        work = three.work / str(at_once)
        made.append(router.compose(three._replace(work=work)))
    assert heads[0] is None
    assert heads[-1] is not None
    whole, ours = made
    for key in ("first_loss", "last_loss"):
        if key in whole.report:
            assert ours.report[key] == pytest.approx(whole.report[key], rel=1e-5)
    assert ours.report.get("tokens") == whole.report.get("tokens")
    for name, tensor in whole.tensors.items():  # AdamW makes much of rounding where there is little
        assert (ours.tensors[name] - tensor).abs().mean() < 1e-3 * tensor.abs().mean() + 1e-4
