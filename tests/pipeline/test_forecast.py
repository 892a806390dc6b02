"""What a plan will take is told by runs that are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import ConfigError
from selfmoe.pipeline.forecast import at, rates_of
from selfmoe.pipeline.make import make_plans
from selfmoe.store.costs import costs_of
from selfmoe.store.files import SEAL
from selfmoe.testing.fakes import ToyRouter
from selfmoe.testing.models import save_toy_base
from selfmoe.testing.runs import toy_run


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a toy run of some size, or return its plan."""
    base = save_toy_base(tmp_path / "base")

    def make(name: str, n: int, *, plan: bool = False):
        settings = {"brainstorm": {"n": n}, "evaluate": {"limit": n}}
        run = toy_run(
            ToyRouter, base=base, out=tmp_path / name, patch=monkeypatch, settings=settings
        )
        return make_plans(run.config.model_copy(update={"out": tmp_path / "new"})) if plan else run

    return make


@pytest.mark.parametrize(
    ("amounts", "values", "expected"),
    [
        ([10], [5.0], 50.0),  # one size: in proportion
        ([10, 10], [4.0, 6.0], 50.0),
        ([10, 20], [3.0, 4.0], 12.0),  # two: 2 by itself, and 0.1 each
        ([10, 20], [1.0, 4.0], 100 * 5 / 30),  # the line is below zero at none: in proportion
        ([10, 20], [4.0, 3.0], 100 * 7 / 30),  # and does not fall
    ],
)
def test_values_lie_on_a_line(amounts, values, expected):
    assert at(100, amounts, values) == pytest.approx(expected)


def test_a_plan_of_the_same_size_takes_what_the_run_took(made):
    plans = made("small", 6, plan=True)
    rates = rates_of(plans.base, plans.directory.root, [plans.directory.root.parent / "small"])
    found = rates.forecast(plans.tasks)
    assert len(found) == len(plans.tasks)
    for task in plans.tasks:
        (cost,) = rates.costs[task.cell_name]
        told = found[task.cell]
        assert told is not None
        assert (told.tokens, told.bytes) == (cost.tokens, cost.bytes)
        assert told.seconds == pytest.approx(cost.seconds)
    by_stage = {task.stage: found[task.cell].tokens for task in plans.tasks}
    assert by_stage["brainstorm"].read > 0 < by_stage["brainstorm"].written
    assert by_stage["seeds"] == (0, 0, 0)


def test_a_larger_plan_takes_more_of_all_but_what_has_one_size(made, tmp_path):
    made("small", 6)
    plans = made("large", 12, plan=True)
    rates = rates_of(plans.base, plans.directory.root, [tmp_path / "small"])
    told, took = rates.forecast(plans.tasks), costs_of(tmp_path / "small")
    for task in plans.tasks:
        (cost,), now = took[task.cell_name], told[task.cell]
        same = task.stage in ("seeds", "specialise", "compose")  # toys learn nothing
        times = 1 if same else 2
        assert now.seconds == pytest.approx(times * cost.seconds)
        assert now.bytes == pytest.approx(times * cost.bytes)


def test_what_was_never_done_is_told_by_what_is_like_it(made, tmp_path):
    run = made("small", 6)
    plans = made("large", 6, plan=True)
    rates = rates_of(plans.base, plans.directory.root, [run.path])
    task = plans.first.of("specialise")[plans.config.domains[0]]
    others = {name: costs for name, costs in rates.costs.items() if name != task.cell_name}
    (other,) = (c for n, c in others.items() if n.stage == "specialise")
    alike = type(rates)(others, rates.matrices).forecast([task])[task.cell]
    assert alike.tokens == other[0].tokens
    nothing = {name: costs for name, costs in others.items() if name.stage != "specialise"}
    assert type(rates)(nothing, rates.matrices).forecast([task]) == {task.cell: None}


def test_a_cell_that_was_resumed_tells_nothing(made):
    run = made("small", 6)
    names = costs_of(run.path)
    seal = next(run.path.glob(f"brainstorm/*@*/{SEAL}"))
    facts = json.loads(seal.read_text())
    seal.write_text(json.dumps(facts | {"cost": facts["cost"] | {"whole": False}}))
    assert len(costs_of(run.path)) == len(names) - 1


def test_a_run_of_another_base_is_refused(made, tmp_path, tiny_base_folder):
    plans = make_plans(resolve({"base": str(tiny_base_folder), "domains": ["math"], "out": "new"}))
    made("small", 6)
    with pytest.raises(ConfigError, match="its cells were made with base"):
        rates_of(plans.base, tmp_path / "new", [tmp_path / "small"])


def test_rates_are_for_dry_runs(cli, tmp_path):
    said = cli("run", "--rates", str(tmp_path))
    assert (said.exit_code, said.stdout) == (1, "")
    assert "give --dry-run with it" in said.stderr
