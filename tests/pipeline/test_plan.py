"""What decides a cell's key, and nothing else does. Planning loads no model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import ConfigError, MissingDataError, StageError
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.run_plan import RunPlan

SAMPLE = Path(__file__).parents[2] / "docs" / "sample-data"


@pytest.fixture
def plan(tiny_base_folder: Path, tmp_path: Path):
    def make(**settings: Any) -> RunPlan:
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


def test_options_of_one_expert_change_it_and_what_is_made_of_it(plan):
    own = {"experts": {"coding": {"r": 16}}, "options": {"alpha": 8}}
    (one,), (other,) = plan(specialise={"options": {"alpha": 8}}), plan(specialise=own)
    before, after = keys(one), keys(other)
    assert before.keys() == after.keys()
    same = {name for name in before if before[name] == after[name]}
    assert {name for name in same if name.startswith("specialise")} == {"specialise math"}
    assert not {name for name in same if name.startswith(("compose", "evaluate mixse"))}
    assert "evaluate expert-math/math/mini" in same


def test_the_base_is_scored_once_for_all_root_seeds(plan):
    one, other = plan(seed=[0, 1])
    assert keys(one)["evaluate base/math/mini"] == keys(other)["evaluate base/math/mini"]
    assert keys(one)["evaluate mixse/math/mini"] != keys(other)["evaluate mixse/math/mini"]
    assert keys(one)["seeds math"] != keys(other)["seeds math"]


@pytest.mark.parametrize("key", ["device", "out", "plugin_dir"])
def test_where_it_runs_is_in_no_key(plan, key, tmp_path, plugin_code):
    value = {"device": "cpu", "out": str(tmp_path / "elsewhere"), "plugin_dir": str(tmp_path)}
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
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
    monkeypatch.setattr("selfmoe.evaluation.sandbox.best_tier", lambda: None)
    assert task.problem() is None
    monkeypatch.setattr("selfmoe.evaluation.sandbox.best_tier", lambda: "bubblewrap")
    assert "there is one" in task.problem()


def test_what_answers_are_compared_with_decides_scores_and_nothing_else(plan, monkeypatch):
    def planned(version: str | None) -> Plan:
        monkeypatch.setattr("selfmoe.evaluation.mathverify.installed", lambda: version)
        (found,) = plan(track="benchmark", data_dir=str(SAMPLE), domains=["math"])
        return found

    without, one, same, other = map(planned, (None, "0.8", "0.8", "0.9"))
    assert changed(one, same) == set()
    for version in (without, other):
        assert changed(one, version) == {"evaluate"}
        before, after = keys(one), keys(version)
        scored = {name for name in before if before[name] != after[name]}
        assert {name.partition("/")[2] for name in scored} == {"math/math"}


def test_naming_a_benchmark_of_the_hub_keeps_training_data_clear_of_it_too(plan):
    def planned(*named: str) -> dict[str, str]:
        (found,) = plan(track="benchmark", domains=["math"], evaluate={"benchmarks": named or None})
        return keys(found)

    usual, target, other = planned(), planned("math/gsm8k"), planned("math/gsm8k", "math/math")
    for stage in ("seeds", "brainstorm", "respond"):
        assert usual[f"{stage} math"] == other[f"{stage} math"]
    assert usual["curate math"] == target["curate math"] != other["curate math"]


def test_naming_a_benchmark_whose_files_are_there_changes_no_training_data(plan):
    files = {"track": "benchmark", "data_dir": str(SAMPLE), "domains": ["math"]}
    (usual,), (named,) = plan(**files), plan(**files, evaluate={"benchmarks": ["math/math"]})
    for name, key in keys(usual).items():
        assert keys(named).get(name, key) == key


def test_a_target_that_is_not_asked_needs_no_files(plan, tmp_path):
    for name in ("gsm8k", "mbpp"):
        shutil.copytree(SAMPLE / name, tmp_path / "data" / name)
    files = {"track": "benchmark", "data_dir": str(tmp_path / "data")}
    (found,) = plan(**files, evaluate={"benchmarks": ["math/gsm8k", "coding/mbpp"]})
    assert "coding/humaneval" in found.choices["coding"].left_out
    with pytest.raises(MissingDataError, match="no humaneval data"):
        plan(**files)


def test_a_temperature_that_nothing_is_drawn_at_is_in_no_key(plan):
    (one,), (hot,) = plan(), plan(respond={"temperature": 0.9})
    assert changed(one, hot) == set()
    (one,), (hot,) = (plan(respond={"samples": 2, "temperature": t}) for t in (0.7, 0.9))
    assert "respond" in changed(one, hot)


def test_seeds_drawn_without_a_sandbox_are_not_those_drawn_with_one(plan, monkeypatch):
    def planned(tier: str | None, **settings: Any) -> Plan:
        monkeypatch.setattr("selfmoe.evaluation.sandbox.best_tier", lambda: tier)
        (found,) = plan(data_dir=str(SAMPLE), **settings)
        return found

    checked, unchecked = (planned(tier, track="benchmark") for tier in ("bubblewrap", None))
    before, after = keys(checked), keys(unchecked)
    made = ("seeds", "brainstorm", "respond", "curate", "specialise")
    for stage in made:
        assert before[f"{stage} coding"] != after[f"{stage} coding"]
        assert before[f"{stage} math"] == after[f"{stage} math"]
    assert changed(planned("bubblewrap"), planned(None)) == set()
    checked.of("seeds")["coding"].cell.build(lambda work, out: None, {})
    assert keys(planned(None, track="benchmark")) == before


def test_verifying_by_running_needs_a_sandbox_before_any_work(plan, monkeypatch):
    monkeypatch.setattr("selfmoe.evaluation.sandbox.best_tier", lambda: None)
    with pytest.raises(StageError, match=r"curate\.verify runs the answers of domain 'coding'"):
        plan(curate={"verify": True})
    plan(curate={"verify": True}, domains=["math"])
    (one,) = plan(curate={"verify": True}, evaluate={"unsafe_code": True})
    one.of("curate")["coding"].cell.build(lambda work, out: None, {})
    plan(curate={"verify": True})
