"""What decides a cell's key, and nothing else does. Planning loads no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfmoe.errors import ConfigError
from selfmoe.plan import Plan, make_plans
from selfmoe.resolve import resolve


@pytest.fixture
def plan(tiny_base_folder: Path, tmp_path: Path):
    def make(**settings: Any) -> list[Plan]:
        base = {"base": str(tiny_base_folder), "out": str(tmp_path / "run")}
        return make_plans(resolve({**base, "domains": ["math", "coding"], **settings}))

    return make


def keys(plan: Plan) -> dict[str, str]:
    return {task.name: task.cell.key for task in plan.tasks}


def changed(one: Plan, other: Plan) -> set[str]:
    """Return the stages whose keys differ between two plans of the same tasks."""
    before, after = keys(one), keys(other)
    assert before.keys() == after.keys()
    return {name.partition(" ")[0] for name in before if before[name] != after[name]}


def test_the_order_of_experts_matters_to_compositions_only(plan):
    (one,), (other,) = plan(), plan(domains=["coding", "math"])
    assert changed(one, other) == {"compose", "evaluate"}
    scored = [n for n in keys(one) if n.startswith("evaluate") and keys(one)[n] != keys(other)[n]]
    assert {name.split()[1].partition("/")[0] for name in scored} == set(one.config.compose)


def test_what_was_tuned_on_dev_is_what_is_published_on_test(plan):
    (tuned,), (published,) = plan(evaluate={"split": "dev"}), plan()
    assert changed(tuned, published) == {"evaluate"}


def test_the_base_is_scored_once_for_all_root_seeds(plan):
    one, other = plan(seed=[0, 1])
    assert keys(one)["evaluate base/math/mini"] == keys(other)["evaluate base/math/mini"]
    assert keys(one)["evaluate mixse/math/mini"] != keys(other)["evaluate mixse/math/mini"]
    assert keys(one)["seeds math"] != keys(other)["seeds math"]


@pytest.mark.parametrize("key", ["device", "out", "plugin_dir"])
def test_where_it_runs_is_in_no_key(plan, key, tmp_path):
    value = {"device": "cpu", "out": str(tmp_path / "elsewhere"), "plugin_dir": str(tmp_path)}
    (one,), (other,) = plan(), plan(**{key: value[key]})
    assert changed(one, other) == set()


def test_the_number_format_is(plan):
    (one,), (same,), (other,) = plan(), plan(dtype="float32"), plan(dtype="bfloat16")
    assert changed(one, same) == set()
    assert changed(one, other) == {
        "brainstorm", "respond", "curate", "specialise", "compose", "evaluate",
    }  # fmt: skip


def test_decoding_defaults_of_the_base_are_part_of_it(plan, tiny_base_folder):
    (one,) = plan()
    path = tiny_base_folder / "generation_config.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "repetition_penalty": 1.3}))
    try:
        (other,) = plan()
    finally:
        path.write_text(before)
    assert "brainstorm" in changed(one, other)


def test_more_active_experts_than_there_are_is_said_before_any_work(plan):
    with pytest.raises(ConfigError, match=r"compose\.mixse: k = 3 of only 2 experts"):
        plan(compose={"mixse": {"options": {"k": 3}}})


def test_scores_missing_for_want_of_a_sandbox_are_made_again(plan, monkeypatch):
    (one,) = plan()
    task = one.of("evaluate")["base/coding/mini"]

    def without_sandbox(work: Path, out: Path) -> None:
        score = {"benchmark": "coding/mini", "value": None, "not_run": "no sandbox"}
        (out / "coding.mini.json").write_text(json.dumps(score))

    task.cell.build(without_sandbox, {})
    monkeypatch.setattr("selfmoe.sandbox.best_tier", lambda: None)
    assert task.problem() is None
    monkeypatch.setattr("selfmoe.sandbox.best_tier", lambda: "bubblewrap")
    assert "there is one" in task.problem()
