"""``selfmoe compare``: routers and merges on a run's own experts, nothing upstream made again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import selfmoe

NEW = ("--routers", "random", "--merges", "mean")


def stamps(run: Path) -> dict[str, int]:
    """Return the time every cell was written, of the stages before the composers."""
    folders = ("seeds", "brainstorm", "respond", "data", "experts")
    return {
        str(seal.relative_to(run)): seal.stat().st_mtime_ns
        for folder in folders
        for seal in run.glob(f"{folder}/*/cell.json")
    }


def names(results) -> list[str]:
    return [system["name"] for system in results["systems"]]


def results(cli, *arguments: str):
    done = cli("compare", "runs/demo", *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_only_what_is_missing_is_made_and_the_run_stays_what_it_was(cli, finished):
    kept = {name: (finished / name).read_bytes() for name in ("config.yaml", "manifest.json")}
    plan = (finished / "work" / "plan.json").read_bytes()
    report = (finished / "report" / "results.json").read_bytes()
    before, cells = stamps(finished), set(finished.glob("*/*/cell.json"))
    done = cli("compare", "runs/demo", *NEW)
    assert done.exit_code == 0, done.stderr
    assert stamps(finished) == before
    assert {name: (finished / name).read_bytes() for name in kept} == kept
    assert (finished / "work" / "plan.json").read_bytes() == plan
    assert (finished / "report" / "results.json").read_bytes() == report
    assert "   Report: runs/demo/comparison/index.html" in done.stdout
    page = (finished / "comparison" / "index.html").read_text("utf-8")
    assert "Routers and merges on " in page
    made = {
        path.parent.name.partition("@")[0] for path in set(finished.glob("*/*/cell.json")) - cells
    }
    assert made == {"random", "mean", "base", "expert-anything", "mixse"}  # the last three: costs
    kinds = {p.parent.parent.name for p in set(finished.glob("*/*/cell.json")) - cells}
    assert kinds == {"compositions", "evaluations", "costs"}
    assert cli("status", "runs/demo").stdout.count("Comparison: ") == 1


def test_a_second_time_nothing_is_done_and_no_model_loaded(cli, finished, monkeypatch):
    first = results(cli, *NEW)
    monkeypatch.setattr("selfmoe.pipeline.session.load_base", lambda *_: pytest.fail("base loaded"))
    again = cli("compare", "runs/demo", *NEW, "--json")
    assert json.loads(again.stdout) == first
    assert "Nothing to do: all " in again.stderr
    assert "done in" not in again.stderr


def test_a_composer_as_the_run_has_it_is_the_run_s(cli, finished):
    shown = results(cli, "--routers", "topk:max_steps=1", "--merges", "ties")
    assert names(shown) == ["base", "expert-anything", "mixse", "ties"]
    manifest = json.loads((finished / "manifest.json").read_text())["cells"]["0"]
    compared = json.loads((finished / "comparison" / "manifest.json").read_text())["cells"]["0"]
    own = [name for name in manifest if name.startswith(("compose/", "evaluate/", "specialise/"))]
    assert {name: compared[name] for name in own} == {name: manifest[name] for name in own}


def test_what_differs_has_a_label_of_its_own(cli, finished):
    shown = results(cli, "--routers", "topk:max_steps=1:temperature=0.5, random")
    assert names(shown)[2:] == ["mixse", "topk-max_steps1-temperature0_5", "random"]
    options = {system["name"]: system["options"] for system in shown["systems"]}
    assert options["topk-max_steps1-temperature0_5"]["temperature"] == 0.5
    assert options["topk-max_steps1-temperature0_5"]["lr"] == options["mixse"]["lr"]


def test_with_several_seeds_intervals_are_over_them(cli, finished):
    one = results(cli, *NEW)
    shown = results(cli, *NEW, "--seeds", "3")
    assert (shown["interval"], shown["seeds"]) == ("composer seeds", [0, 1, 2])
    drawn = {path.read_bytes() for path in finished.glob("compositions/random@*/tensors.*")}
    assert len(drawn) == 3
    manifest = json.loads((finished / "comparison" / "manifest.json").read_text())["cells"]
    own = json.loads((finished / "manifest.json").read_text())["cells"]
    assert manifest["0"]["compose/mixse"] == own["0"]["compose/mixse"]
    assert len({manifest[seed]["compose/mixse"]["key"] for seed in "012"}) == 3
    assert len({manifest[seed]["specialise/anything"]["key"] for seed in "012"}) == 1
    scores = {system["name"]: system["scores"]["anything/mini"] for system in shown["systems"]}
    assert len(scores["random"]["by_seed"]) == 3
    assert "by_seed" not in scores["expert-anything"]
    assert (
        scores["base"] == {s["name"]: s for s in one["systems"]}["base"]["scores"]["anything/mini"]
    )
    table = cli("compare", "runs/demo", *NEW, "--seeds", "3").stdout
    assert "interval over composer seeds (composer seed 0, 1, 2)" in " ".join(table.split())
    assert "No composer seed touches base and experts: their interval is over items." in table


def test_what_is_wrong_is_said_at_once(cli, finished):
    done = cli(
        "compare", "runs/demo",
        "--routers", "randon,topk:kk=2,topk:k=2:k=1,topk:k,random:k=[1",
        "--merges", "random",
    )  # fmt: skip
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Error: what to compare: 6 problems"
    for part in (
        "routers: topk:k=2:k=1: 'k' is given twice.",
        "routers: topk:k: expected name:option=value, got 'k' for an option.",
        "routers: k of random:k=[1 is not valid YAML",
        "routers: no router named 'randon'; did you mean 'random'? Available: ",
        "routers.topk.options.kk: unknown key; did you mean 'k'? Known keys: ",
        "merges: no merge named 'random'",
    ):
        assert part in done.stderr, part
    assert not (finished / "comparison").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "--seeds 0: give a number of composer seeds from 1"),
        (["--limit", "0"], "--limit 0: give a number of items from 1"),
        (["--seed", "7"], "no root seed named '7'"),
        (["--routers", ","], "nothing is named; give --routers, --merges, or neither for all."),
    ],
)
def test_impossible_questions(cli, finished, arguments, message):
    done = cli("compare", "runs/demo", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr


def test_a_composer_that_cannot_work_is_named(cli, finished):
    done = cli("compare", "runs/demo", "--routers", "random:k=2,random")
    assert done.exit_code == 0
    assert "Left out: random-k2: k = 2 of only 1 expert; choose k from 1 to 1" in done.stdout
    assert (
        "random-k2"
        in json.loads((finished / "comparison" / "results.json").read_text())["left_out"]
    )


BROKEN = '''

from selfmoe.contracts.composer import Merge


class Broken(Merge):
    """Fails."""

    name = "broken"

    def compose(self, ctx):
        raise ValueError("no luck")


@hookimpl
def register_merges():
    return [Broken]
'''


def test_a_composer_that_fails_does_not_stop_the_others(
    cli, finished, configure, plugin_code, tmp_path
):
    settings = configure()
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code + BROKEN)
    selfmoe.run(settings)
    done = cli("compare", "runs/demo", "--merges", "broken,mean")
    assert done.exit_code == 1
    assert "mean" in done.stdout
    assert "Failed: compose/broken (composer seed 0): ValueError: no luck" in done.stdout
    assert "compose broken: ValueError: no luck" in done.stderr


def test_experts_of_other_code_are_refused(cli, finished, tmp_path):
    (expert,) = finished.glob("experts/anything@*")
    expert.rename(tmp_path / "elsewhere")
    done = cli("compare", "runs/demo", *NEW)
    assert done.exit_code == 1
    assert "runs/demo has no experts to compare on" in done.stderr
    assert (
        "A comparison makes no experts. This makes them: selfmoe run runs/demo/config.yaml"
        in done.stderr
    )
    assert not list(finished.glob("experts/anything@*"))


def test_gc_keeps_what_the_comparison_names(cli, finished):
    results(cli, *NEW)
    before = set(finished.glob("*/*/cell.json"))
    assert cli("gc", "runs/demo", "--yes").stdout == "Nothing to delete.\n"
    assert set(finished.glob("*/*/cell.json")) == before
    results(cli, "--merges", "mean")
    cli("gc", "runs/demo", "--yes")
    assert not list(finished.glob("*/random@*"))
    assert list(finished.glob("compositions/mean@*"))


def test_nothing_goes_while_it_is_unknown_what_the_comparison_needs(cli, finished):
    results(cli, *NEW)
    (finished / "comparison" / "manifest.json").write_text("{")
    done = cli("gc", "runs/demo", "--yes")
    assert done.exit_code == 1
    assert "comparison/manifest.json is damaged" in done.stderr
    assert "This makes it again: selfmoe compare runs/demo" in done.stderr
    assert list(finished.glob("compositions/random@*"))


def test_what_an_interrupted_comparison_still_has_to_do_is_told(cli, finished):
    results(cli, *NEW)
    (finished / next(iter(finished.glob("evaluations/mean@*")))).rename(finished / "away")
    done = cli("status", "runs/demo")
    assert "11 of 11 cells are done" in done.stdout
    assert "Comparison: 12 of 13 cells are done. To go on: selfmoe compare runs/demo" in done.stdout
    told = json.loads(cli("status", "runs/demo", "--json").stdout)["comparison"]
    assert [cell["label"] for cell in told if cell["state"] == "to do"] == ["mean/anything/mini"]
    assert results(cli, *NEW)["missing"] == {}


def test_a_dry_run_does_nothing(cli, finished):
    done = cli("compare", "runs/demo", *NEW, "--dry-run")
    assert "compose  │ random" in done.stdout
    assert "Nothing was changed." in done.stdout
    assert "specialise" not in done.stdout
    assert not (finished / "comparison").exists()


def test_the_page_names_every_key_of_the_json(cli, finished):
    shown = results(cli, *NEW)
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text("utf-8")
    table = page.partition("## JSON")[2].partition("In Python")[0]
    keys = {word for line in table.splitlines() if line.startswith("| `") for word in
            re.findall(r"`(\w+)`", line.split("|")[1])}  # fmt: skip
    assert keys == set(shown)
    known = set(re.findall(r"`(\w+)`", table.partition("A system has")[2]))
    for system in shown["systems"]:
        assert set(system) == known


def test_costs_and_entropy_are_those_of_the_system(cli, finished):
    rows = {row["name"]: row for row in results(cli, *NEW)["systems"]}
    assert rows["base"]["forward"] == rows["mean"]["forward"] == 1
    assert rows["random"]["forward"] > 1
    assert rows["mean"]["added_parameters"] == rows["mean"]["trained_parameters"] == 0
    assert rows["random"]["added_parameters"] == rows["expert-anything"]["added_parameters"]
    assert rows["mixse"]["added_parameters"] > rows["random"]["added_parameters"]
    assert rows["random"]["entropy"] == 0  # one expert
    assert rows["mean"]["entropy"] is None
    assert rows["random"]["seconds"] > 0
