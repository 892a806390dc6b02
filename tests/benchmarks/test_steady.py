"""Rows that differ are found, and how near the tie is at which they part; in small for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import steady
from _generate import steadiness as page
from selfmoe.models.generation import Sampling
from selfmoe.models.generation.drawing import choose
from steadiness import worker
from steadiness.gaps import draw_gap, logit_gap
from steadiness.rows import Parting, counted, partings

Json = dict[str, Any]


def row(*tokens: int, margin: float = 1.0) -> Json:
    return {"text": f"{tokens}", "tokens": list(tokens), "margin": margin}


# --- which rows differ ----------------------------------------------------------------------------


def test_rows_part_at_the_first_token_that_differs() -> None:
    reference = [[row(1, 2, 3), row(4)], [row(5, 6)]]
    mine = [[row(1, 2, 3, margin=0.5), row(7)], [row(5, 8, 9)]]
    assert list(partings(reference, reference)) == []
    assert list(partings(mine, reference)) == [Parting(0, 1, 0, (7, 4)), Parting(1, 0, 1, (8, 6))]


def test_a_row_that_only_ends_earlier_parts_at_no_token() -> None:
    other_text = {**row(1, 2), "text": "another"}
    assert list(partings([[row(1, 2)]], [[row(1, 2, 3)]])) == [Parting(0, 0, 2, None)]
    assert list(partings([[other_text]], [[row(1, 2)]])) == [Parting(0, 0, 2, None)]


def test_rows_are_counted_by_stage_and_by_how_they_are_written() -> None:
    drawn = {"temperature": 1.0, "top_p": 1.0}
    calls = [
        {"stage": "brainstorm", "sampling": drawn, "prompts": ["a"] * 4},
        {"stage": "respond", "sampling": None, "prompts": ["a"] * 3},
        {"stage": "brainstorm", "sampling": drawn, "prompts": ["a"] * 6},
    ]
    parted = [Parting(2, 0, 0, None), Parting(0, 3, 1, (1, 2))]
    assert counted(calls, parted) == {
        "brainstorm, sampled": {"rows": 10, "same": 8, "share": 0.8},
        "respond, greedy": {"rows": 3, "same": 3, "share": 1.0},
    }


# --- how near the tie is --------------------------------------------------------------------------

LOGITS = torch.tensor([0.5, 0.2, 0.3]).log()


def test_greedy_rows_part_where_logits_are_equal() -> None:
    logits = torch.tensor([1.0, 3.0, 2.75, 3.0])
    assert logit_gap(logits, (1, 3)) == 0
    assert logit_gap(logits, (3, 2)) == 0.25
    assert logit_gap(logits, (0, 2)) == 2.0  # neither is the likeliest


@pytest.mark.parametrize(
    ("tokens", "number", "gap"),
    [((0, 1), 0.501, 0.001), ((1, 0), 0.498, 0.002), ((1, 2), 0.7, 0.0), ((0, 2), 0.5, 0.2)],
)
def test_drawn_rows_part_at_the_border_of_both_tokens(
    tokens: tuple[int, int], number: float, gap: float
) -> None:
    assert draw_gap(LOGITS, tokens, Sampling(1.0, 1.0), number) == pytest.approx(gap, abs=1e-6)


def test_drawn_rows_part_where_a_token_is_just_out_of_the_nucleus() -> None:
    # With 0.501 all three are drawn from only if 0.8 is below top_p; of two, 0.5 / 0.8 is 0.625.
    two, number = Sampling(1.0, 0.799), 0.6
    assert draw_gap(LOGITS, (0, 1), two, number) == pytest.approx(0.001, abs=1e-6)
    assert draw_gap(LOGITS, (0, 2), two, number) == pytest.approx(0.025, abs=1e-6)
    one = Sampling(1.0, 0.3)
    assert draw_gap(LOGITS, (0, 1), one, number) == float("inf")


def test_the_gap_agrees_with_what_the_engine_says_of_its_own_draws() -> None:
    chance = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(200, 40, generator=chance)
    numbers = torch.rand(200, generator=chance, dtype=torch.float64)
    for sampling in (Sampling(1.0, 1.0), Sampling(0.7, 1.0), Sampling(1.3, 0.9)):
        tokens, near = choose(logits, sampling, numbers)
        for at, number, token, margin in zip(logits, numbers, tokens, near, strict=True):
            token, number = int(token), float(number)
            if margin > 1e-5:
                assert draw_gap(at, (token, token), sampling, number) == 0
            others = (draw_gap(at, (token, n), sampling, number) for n in range(40) if n != token)
            assert min(others) >= float(margin) - 1e-6


# --- for real, in small ---------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """Let jobs be done in this process; return them."""
    jobs: list[Json] = []

    def carry_out(job: Json, module: str) -> Any:
        assert module == steady.WORKER
        jobs.append(job)
        plain = json.loads(json.dumps(job))
        made = {"record": worker.record, "write": worker.write, "look": worker.look}
        return json.loads(json.dumps(made[job["kind"]](plain)))

    monkeypatch.setattr(steady, "carry_out", carry_out)
    return jobs


@pytest.fixture
def asked(tiny_base_folder: Path, plugin_code: str, tmp_path: Path) -> list[str]:
    """Return options for a random base and a domain that takes whatever it writes."""
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
    changed = ("seeds.n=6", "brainstorm.max_new_tokens=12", "respond.max_new_tokens=12")
    sets = [word for one in (*changed, f"plugin_dir={tmp_path}") for word in ("--set", one)]
    base = ["--base", str(tiny_base_folder), "--domains", "anything", "--n", "3", *sets]
    return [*base, "--batch", "3", "--batch", "1", "--threads", "1"]


def steadily(options: list[str], target: Path) -> tuple[int, Json]:
    done = CliRunner().invoke(steady.command, [*options, "--json", str(target)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(target.read_text())


def test_all_rows_are_the_same_and_the_page_shows_it(
    here: list[Json], asked: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "steady.json"
    code, found = steadily(asked, target)
    assert code == 0
    assert [job["kind"] for job in here] == ["record", "write"]
    stages = [call["stage"] for call in here[1]["calls"]]
    assert stages == [*["brainstorm"] * (len(stages) - 2), "respond", "respond"]
    first, alone = found["settings"]
    assert (first["batch"], alone["batch"], alone["parted"]) == (3, 1, [])
    assert list(alone["kinds"]) == ["brainstorm, sampled", "respond, greedy", "respond, sampled"]
    assert all(kind["same"] == kind["rows"] >= 3 for kind in alone["kinds"].values())
    written = alone["kinds"]["brainstorm, sampled"]["rows"]
    assert found["rows"] == written + 6
    assert f"| 1 | 1 | {written} of {written} | 3 of 3 | 3 of 3 |" in page.steady(target)


@pytest.mark.parametrize(("call", "kind"), [(0, "brainstorm, sampled"), (-2, "respond, greedy")])
def test_a_row_that_parts_at_no_near_tie_breaks_the_bound(
    here: list[Json],
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
    kind: str,
) -> None:
    real = worker.write

    def wrong(job: Json) -> list[list[Json]]:
        rows = real(job)
        first, *others = rows[call][2]["tokens"]
        rows[call][2]["tokens"] = [(first + 1) % 200, *others]
        return rows

    monkeypatch.setattr(worker, "write", wrong)
    code, found = steadily(asked, tmp_path / "steady.json")
    assert code == 1
    [parted] = found["settings"][1]["parted"]
    assert parted["kind"] == kind
    assert parted["token"] == 0
    assert parted["gap"] is None or parted["gap"] > steady.LARGEST_GAP
    assert here[-1]["kind"] == "look"


def test_a_bound_is_broken_by_too_many_rows_or_too_wide_a_gap() -> None:
    def setting(same: int, *gaps: float | None) -> Json:
        kinds = {"respond, greedy": {"rows": 200, "same": same, "share": same / 200}}
        return {"kinds": kinds, "parted": [{"gap": gap} for gap in gaps]}

    assert steady.holds([setting(200), setting(199, 1e-5)])
    assert not steady.holds([setting(198, 1e-5, 1e-6)])
    assert not steady.holds([setting(199, 2e-4)])
    assert not steady.holds([setting(199, None)])


def test_there_is_no_page_before_there_is_a_measurement(tmp_path: Path) -> None:
    assert page.steady(tmp_path / "steady.json") == page.kills(tmp_path / "kills.json") == ""
