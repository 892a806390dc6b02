"""``selfmoe claims``: what claims need is made, once, and every claim gets a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import selfmoe
from selfmoe.api.claims.paper import CLAIMS
from selfmoe.store.cells import ROUTES


def results(cli, *arguments: str):
    done = cli("claims", "runs/demo", *arguments, "--json", "claims.json")
    assert done.exit_code == 0, done.stderr
    return json.loads(Path("claims.json").read_text("utf-8"))


def by_id(shown) -> dict[str, dict]:
    return {claim["id"]: claim for claim in shown["claims"]}


def test_what_is_missing_is_made_and_the_run_stays_what_it_was(cli, two_experts):
    kept = ("config.yaml", "manifest.json", "report/results.json", "work/plan.json")
    before = {name: (two_experts / name).read_bytes() for name in kept}
    cells = set(two_experts.glob("*/*/cell.json"))
    done = cli("claims", "runs/demo", "--only", "table2", "--json", "claims.json")
    assert done.exit_code == 0, done.stderr
    assert {name: (two_experts / name).read_bytes() for name in kept} == before
    made = {p.parent.name.partition("@")[0] for p in set(two_experts.glob("*/*/cell.json")) - cells}
    assert made == {"topk-k2", "random", "joint"}
    shown = json.loads(Path("claims.json").read_text("utf-8"))
    assert shown == json.loads((two_experts / "claims" / "results.json").read_text("utf-8"))
    assert shown["tested"] == 4
    assert shown["level"] == pytest.approx(1 - 0.05 / 4)
    assert "Claims of arXiv 2406.12034" in (two_experts / "claims" / "index.html").read_text(
        "utf-8"
    )
    assert "54.3 / 50.8" in done.stdout
    assert "over items alone (root seed 0), paired." in " ".join(done.stdout.split())


def test_a_second_time_nothing_is_done_and_no_model_loaded(cli, two_experts, monkeypatch):
    first = results(cli, "--only", "learned-over-random")
    monkeypatch.setattr("selfmoe.pipeline.session.load_base", lambda *_: pytest.fail("base loaded"))
    done = cli("claims", "runs/demo", "--only", "learned-over-random")
    assert "Nothing to do: all " in done.stderr
    assert results(cli, "--only", "learned-over-random") == first


def test_every_claim_can_be_asked_and_those_that_cannot_be_tested_say_why(cli, two_experts):
    shown = by_id(results(cli))
    assert list(shown) == [claim.id for claim in CLAIMS]
    why = {name: claim["reason"] for name, claim in shown.items() if claim.get("reason")}
    assert why["others-over-base"] == "track mini asks no benchmark besides its targets"
    assert why["lists-over-base"] == "no target benchmark of track mini shows solved examples"
    assert why["third-expert"] == "there are too few experts (2)"
    tested = {name: claim for name, claim in shown.items() if claim["verdict"] != "not testable"}
    assert len(tested) >= 12
    for claim in tested.values():
        assert -1 <= claim["ours"]["one"] - claim["ours"]["other"] <= 1
        assert claim["verdict"] in ("holds", "fails", "undecided")
    assert shown["last-expert"]["sides"] == ["mixse", "expert-anything"]
    for path in two_experts.glob(f"routes/mixse@*/{ROUTES}"):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert {tuple(row) for row in rows} <= {
            ("id", "prompt", "response", "reworded"), ("id", "prompt", "reworded"),
        }  # fmt: skip
        assert all(sum(row["prompt"].values()) == pytest.approx(1, abs=1e-4) for row in rows)
        assert all(row["reworded"] for row in rows)
    done = cli("status", "runs/demo")
    assert "Claims: " in done.stdout
    assert " cells are done." in done.stdout
    assert cli("gc", "runs/demo", "--yes").stdout == "Nothing to delete.\n"


def test_what_is_lost_is_made_again(cli, two_experts):
    first = results(cli, "--only", "figure3")
    lost = next(iter(two_experts.glob("routes/mixse@*")))
    lost.rename(two_experts / "away")
    told = cli("status", "runs/demo").stdout
    assert "To go on: selfmoe claims runs/demo" in told
    assert results(cli, "--only", "figure3") == first
    assert lost.exists()


def test_a_dry_run_says_what_is_to_do_and_how_long_that_takes(cli, two_experts):
    done = cli("claims", "runs/demo", "--dry-run")
    assert "Not testable: others-over-base: track mini" in done.stdout
    assert "compose    │ random" in done.stdout
    assert "Nothing was changed." in done.stdout
    assert "by what such cells took on cpu, float32, 1 threads. Of 2 cells it is not" in done.stdout
    assert not (two_experts / "claims").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/demo", "--only", "table9"], "no claim, table or figure named 'table9'"),
        (["runs/demo", "--only", ","], "--only names nothing; leave it out for all claims"),
        ([], "name the folder of a run, or a base to make one of: --base"),
        (["runs/demo", "--base", "x"], "give the folder of a run or --base, not both"),
        (["runs/demo", "--limit", "0"], "evaluate.limit"),
        (["absent"], "absent does not exist; give the folder of a run"),
    ],
)
def test_impossible_questions(cli, two_experts, arguments, message):
    done = cli("claims", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr


def test_without_a_run_one_is_made_of_a_base(tmp_path, configure):
    settings = yaml.safe_load(configure(domains=["anything", "whatever"]).read_text("utf-8"))
    base = settings.pop("base")
    made = selfmoe.claims(
        base=base, only=["mixture-over-base"], settings={**settings, "plugin_dir": str(tmp_path)}
    )
    assert (made.directory.root / "report" / "index.html").exists()
    assert made.results.seeds == [0]
    (claim,) = made.results.claims
    assert (claim.items, claim.benchmarks) == (4, ["anything/mini", "whatever/mini"])


def test_seeds_that_cannot_be_had_stop_no_other_claim(cli, two_experts):
    done = cli(
        "claims", "runs/demo", "--only", "made-as-gold,mixture-over-base",
        "--json", "claims.json", "--set", "evaluate.limit=3",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert cli("claims", "runs/demo", "--limit", "3", "--only", "mixture-over-base").exit_code == 0
