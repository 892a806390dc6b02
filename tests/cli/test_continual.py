"""``selfmoe continual``: experts come one by one, every state is measured, and leaves no trace."""

from __future__ import annotations

import json
import shutil

import pytest

import selfmoe
from selfmoe.api.continual.plan import plan_continual
from selfmoe.contracts.errors import RunError, StageError
from selfmoe.reporting.continual.tables import continual_notes
from selfmoe.store.beside import ContinualDirectory
from selfmoe_trainer_lora import Lora


def results(cli, *arguments: str):
    done = cli("continual", "runs/demo", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_every_state_is_measured_and_the_run_stays_what_it_was(cli, two_experts):
    kept = ("config.yaml", "manifest.json", "report/results.json", "work/plan.json")
    before = {name: (two_experts / name).read_bytes() for name in kept}
    shown = results(cli)
    assert {name: (two_experts / name).read_bytes() for name in kept} == before
    assert shown == json.loads((two_experts / "continual" / "results.json").read_text("utf-8"))
    assert shown["start"] == ["anything"]
    first, second = shown["arrivals"]
    assert (first["expert"], first["experts"], first["unchanged"]) == ("", 1, None)
    assert (second["expert"], second["experts"]) == ("whatever", 2)
    assert second["unchanged"] is True
    assert second["found_again"] is True
    assert {"specialise", "compose", "evaluate"} <= set(second["seconds"])
    assert set(second["home"]) == {"whatever/mini"}
    assert shown["systems"] == ["mixse"]
    assert set(second["scores"]["mixse"]) == {"anything/mini", "whatever/mini"}
    assert set(second["since"]["mixse"]) == {"anything/mini"}
    page = (two_experts / "continual" / "index.html").read_text("utf-8")
    assert "Experts one by one" in page


def test_what_became_of_old_domains_is_the_difference_of_two_states(cli, two_experts):
    shown = results(cli)
    first, *_, last = shown["arrivals"]
    for system in shown["systems"]:
        for benchmark, value in first["scores"][system].items():
            since = last["since"][system][benchmark]["score"]
            assert since["before"] == pytest.approx(value)
            assert since["after"] == pytest.approx(last["scores"][system][benchmark])


def test_a_second_time_nothing_is_done_and_no_model_loaded(cli, two_experts, monkeypatch):
    first = results(cli)
    monkeypatch.setattr("selfmoe.pipeline.session.load_base", lambda *_: pytest.fail("base loaded"))
    done = cli("continual", "runs/demo")
    assert "Nothing to do: all " in done.stderr
    assert "byte for byte, after 1 arrival." in " ".join(done.stdout.split())
    assert results(cli) == first


def test_who_is_named_comes_and_the_others_are_there_first(two_experts):
    made = selfmoe.continual(two_experts, ["anything"]).results
    assert made.start == ["whatever"]
    assert [one.expert for one in made.arrivals] == ["", "anything"]


def test_domains_of_plugins_come_to_a_run_that_has_none_of_them(two_experts, plugin_with_more):
    made = selfmoe.continual(two_experts, ["further", "whatever"]).results
    assert made.start == ["anything"]
    assert [one.experts for one in made.arrivals] == [1, 2, 3]
    assert [one.unchanged for one in made.arrivals] == [None, True, True]
    assert [one.found_again for one in made.arrivals] == [None, True, True]
    assert {"anything/mini", "further/mini", "average"} == set(made.arrivals[2].since["mixse"])


def composed(plan):
    return [{task.cell.path for task in one.tasks if task.stage == "compose"} for one in plan.plans]


def test_extending_leaves_what_was_composed_and_refitting_makes_it_anew(two_experts):
    first, second = composed(plan_continual(two_experts, join="extend"))
    assert first < second
    first, second = composed(plan_continual(two_experts, join="refit"))
    assert not first & second


def test_what_cannot_be_extended_is_made_anew(two_experts):
    states = plan_continual(two_experts, systems=["mixse", "ties"]).states
    assert states[1].config.compose["mixse"].extend == ["whatever"]
    assert states[1].config.compose["ties"].extend == []


def test_a_dry_run_writes_nothing(cli, two_experts):
    done = cli("continual", "runs/demo", "--dry-run")
    assert done.exit_code == 0
    assert "Plan of 1 arrival in" in done.stdout
    assert not (two_experts / "continual").exists()


def test_gc_keeps_what_the_states_need_and_status_counts_it(cli, two_experts):
    results(cli)
    assert "Nothing to delete." in cli("gc", "runs/demo", "--dry-run").stdout
    told = json.loads(cli("status", "runs/demo", "--json").stdout)
    assert told["continual"]
    assert {cell["state"] for cell in told["continual"]} == {"done"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--domains", "math,math"], "'math' is named twice; an expert comes once"),
        (["--domains", "chemistry"], "no domain named 'chemistry'"),
        (["--domains", "chemistry"], "(selfmoe add-expert --seeds), then it can be named here"),
        (["--systems", "other"], "no composition named 'other'"),
        (["--domains", ""], "nobody comes to anything, whatever"),
    ],
)
def test_a_mistake_gets_one_message(cli, two_experts, arguments, message):
    done = cli("continual", "runs/demo", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_that_fails_keeps_those_before_it(two_experts, monkeypatch):
    plain = Lora.train

    def train(self, ctx):
        if "whatever" in str(ctx.out):
            raise StageError("no")
        return plain(self, ctx)

    (trained,) = (two_experts / "experts").glob("whatever@*")
    shutil.rmtree(trained)
    monkeypatch.setattr(Lora, "train", train)
    with pytest.raises(StageError, match="no"):
        selfmoe.continual(two_experts)
    told = json.loads(ContinualDirectory(two_experts).results.read_text("utf-8"))
    assert [one["expert"] for one in told["arrivals"]] == [""]
    assert told["missing"]
    monkeypatch.undo()
    assert len(selfmoe.continual(two_experts).results.arrivals) == 2


def test_files_of_an_earlier_expert_that_changed_are_told(two_experts, monkeypatch):
    plain = Lora.train

    def train(self, ctx):
        (former,) = (two_experts / "experts").glob("anything@*/training.json")
        former.write_text(former.read_text() + " ")
        return plain(self, ctx)

    (trained,) = (two_experts / "experts").glob("whatever@*")
    shutil.rmtree(trained)
    monkeypatch.setattr(Lora, "train", train)
    made = selfmoe.continual(two_experts).results
    assert made.arrivals[1].unchanged is False
    assert "Files of earlier experts changed when these came: whatever." in continual_notes(made)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        selfmoe.continual(tmp_path / "none")
