"""The measurements of speed: ratios, the noise floor, and every workload on a model of seconds."""

from __future__ import annotations

import pytest
import torch

import speed
from speeds import clock, memory, systems, work
from speeds.clock import above_floor, ratios


def test_ratios_are_taken_round_by_round():
    found = ratios({"base": [1.0, 2.0, 4.0], "twin": [1.0, 2.0, 4.0], "other": [2.0, 2.0, 12.0]})
    assert found["base"] == {"ratio": 1.0, "low": 1.0, "high": 1.0, "seconds": 2.0}
    assert found["other"] == {"ratio": 2.0, "low": 1.5, "high": 2.5, "seconds": 2.0}


@pytest.mark.parametrize(("twin", "net"), [(1.02, 1.08), (0.98, 1.10)])
def test_only_what_the_noise_floor_shows_above_one_is_taken_off(twin, net):
    rows = {"twin": {"ratio": twin}, "mine": {"ratio": 1.10}}
    assert above_floor(rows, "mine") == pytest.approx(net)


@pytest.mark.parametrize(("floors", "tries", "discarded", "counts"), [
    ([1.0], 3, [], True),
    ([1.1, 1.0], 3, [1.1], True),
    ([1.1, 0.9, 1.2], 3, [1.1, 0.9], False),
])  # fmt: skip
def test_loud_measurements_are_made_again_and_counted(
    monkeypatch, floors, tries, discarded, counts
):
    left = list(floors)

    def timed(rounds_of, rounds):
        return {"base": [1.0] * rounds, "twin": [left.pop(0)] * rounds}

    monkeypatch.setattr(clock, "_timed", timed)
    nothing = {"base": lambda: None, "twin": lambda: None}
    found = clock.measure(nothing, 3, tries, lambda text: None)
    assert (found["discarded"], found["counts"]) == (discarded, counts)


def test_rounds_are_interleaved_and_turned_around():
    order = []
    names = ("base", "twin", "mine")
    clock._timed({name: lambda name=name: order.append(name) for name in names}, 2)
    assert order == [*names, *reversed(names)]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(systems, "SHAPES", {"512": systems.Shape(32, 48, 2, 4, 64)})


@pytest.mark.filterwarnings("ignore")
def test_every_system_does_every_workload(tiny, tmp_path):
    setting = systems.Setting("512", 2, tmp_path)
    models = systems.build(setting, list(systems.SYSTEMS))
    for name, model in models.items():
        work.prefill(model, 1, 8)()
        assert work.caches(model) == (name != "PEFT X-LoRA")
        twice = work.decode(model, 1, 2, prompt=4)
        twice()
        twice()
    learners = next(m.systems for m in speed.measurements() if "training" in m.title)
    for name in learners:
        work.training(name, models[name], 1, 8)()


def test_systems_share_the_weights_of_the_base_and_have_experts_that_matter(tiny, tmp_path):
    models = systems.build(systems.Setting("512", 2, tmp_path), ["base", "twin", "selfmoe"])
    ids = work.tokens(models["base"], 1, 6)
    with torch.no_grad():
        base, twin, mine = (model(ids).logits for model in models.values())
    assert torch.equal(base, twin)
    assert not torch.allclose(base, mine)
    pointers = {m.get_input_embeddings().weight.data_ptr() for m in models.values()}
    assert len(pointers) == 1


def test_what_gets_no_gradient_is_noticed(tiny, tmp_path):
    (model,) = systems.build(systems.Setting("512", 2, tmp_path), ["selfmoe"]).values()
    model.mixture.detach()
    with pytest.raises(RuntimeError, match="no parameter with theta"):
        work.training("selfmoe", model, 1, 8)()


def test_memory_is_that_of_the_forward(tmp_path):
    found = memory.peaks(tmp_path, "512", 1, ["base"], batch=1, runs=1)["systems"]["base"]
    assert 1 < found["extra"] < found["loaded"]


def test_what_is_published_is_what_is_asked_for():
    asked = [(m.title, m.shape, m.n) for m in speed.measurements()]
    assert len(set(asked)) == len(asked)
    assert {n for title, _, n in asked if title.startswith("growth")} == set(speed.GROWTH)
