"""Several processes fit as one would: real ones, which speak over gloo."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from selfmoe.contracts.randomness import derive, permutation
from selfmoe.models.fitting.batches import encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.models import tiny_base

WORKER = Path(__file__).parent / "several" / "worker.py"
TIMEOUT = 280
Environment = Callable[..., dict[str, str]]
Facts = dict[str, Any]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def worker() -> Facts:
    """Return what the worker fits and how: its names."""
    return runpy.run_path(str(WORKER), run_name="worker")


def alone(worker: Facts, work: Path, stop: int | None = None) -> Facts:
    """Fit in this process, or stop as if killed in a step; return losses and what is fitted."""
    base = tiny_base()
    parameters = {n: base.model.get_parameter(n) for n in worker["NAMES"]}
    for parameter in parameters.values():
        parameter.requires_grad_(True)

    def progress(step: int, steps: int, text: str) -> None:
        if step == stop:
            raise KeyboardInterrupt

    try:
        report = Fit(progress, save_seconds=-1.0)(
            base.model, parameters, worker["examples"](), base, worker["CONFIG"],
            seed=5, work=work, label="test",
        )  # fmt: skip
    except KeyboardInterrupt:
        return {}
    fitted = {name: p.detach().flatten().tolist() for name, p in parameters.items()}
    return {"losses": report.losses, "tokens": report.tokens, "fitted": fitted}


def torchrun(environment: Environment, folder: Path, *scenarios: str) -> int:
    """Let two processes go through scenarios; return how torchrun ended."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", str(WORKER), str(folder), *scenarios]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return done.returncode


def by_hand(environment: Environment, folder: Path, *scenarios: str) -> list[int]:
    """Let two processes that nobody watches over go through scenarios; return how they ended."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    met = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, str(WORKER), str(folder), *scenarios]
    started = [
        subprocess.Popen(command, env=environment(**met, RANK=rank, LOCAL_RANK=rank))
        for rank in ("0", "1")
    ]
    try:
        return [process.wait(TIMEOUT) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


SCENARIOS = ("curve", "resumed", "on-policy", "penalty", "dropout", "nan", "fails", "again")


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, environment: Environment, worker: Facts
) -> dict[str, list[Facts]]:
    """Return what two processes say of each scenario, by rank."""
    folder = tmp_path_factory.mktemp("two")
    alone(worker, folder / "work" / "resumed", stop=3)
    assert list((folder / "work" / "resumed").glob("step-*"))
    assert torchrun(environment, folder, *SCENARIOS) == 0
    return {name: said(folder, name) for name in SCENARIOS}


def said(folder: Path, scenario: str) -> list[Facts]:
    return [json.loads((folder / f"{scenario}-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, worker: Facts) -> Facts:
    """Return what one process comes to."""
    return alone(worker, tmp_path_factory.mktemp("one"))


def assert_same(found: Facts, expected: Facts) -> None:
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5, abs=1e-5)
    assert found["tokens"] == expected["tokens"]
    for name, values in expected["fitted"].items():
        assert found["fitted"][name] == pytest.approx(values, abs=1e-3), name


@pytest.mark.parametrize("scenario", ["curve", "on-policy", "penalty", "again"])
def test_two_processes_have_the_loss_curve_of_one(
    scenario: str, two: dict[str, list[Facts]], one: Facts
) -> None:
    leader, other = two[scenario]
    assert len(leader["losses"]) == 6
    assert_same(leader, one)
    assert other["losses"] == leader["losses"]
    assert other["fitted"] == leader["fitted"], "the processes have parted"


def test_a_mean_of_means_would_have_been_seen(worker: Facts, one: Facts) -> None:
    base = tiny_base()
    rows = [encode(example, base.tokenizer) for example in worker["examples"]()]
    places = permutation(len(rows), derive(5, "epoch", 0))[:4]
    first = sorted((rows[place] for place in places), key=lambda row: len(row.ids), reverse=True)
    sums, counts = [], []
    for row in first:
        logits = base.model(input_ids=torch.tensor([row.ids])).logits[0, row.prompt - 1 : -1]
        answer = torch.tensor(row.ids[row.prompt :])
        sums.append(cross_entropy(logits, answer, reduction="sum").item())
        counts.append(len(answer))
    means = [sum(sums[rank::2]) / sum(counts[rank::2]) for rank in (0, 1)]
    assert sum(sums) / sum(counts) == pytest.approx(one["losses"][0], rel=1e-5)
    assert abs(sum(means) / 2 - one["losses"][0]) > 100 * 1e-5


def test_two_go_on_where_one_was_killed(two: dict[str, list[Facts]], one: Facts) -> None:
    leader, _ = two["resumed"]
    assert leader["steps"] == [3, 4, 5, 6]
    assert_same(leader, one)


def test_one_goes_on_where_two_were_killed(
    tmp_path: Path, environment: Environment, worker: Facts, one: Facts
) -> None:
    assert torchrun(environment, tmp_path, "leader-dies") != 0
    work = tmp_path / "work" / "leader-dies"
    assert sorted(path.name for path in work.iterdir()) == ["step-0000003", "step-0000004"]
    assert_same(alone(worker, work), one)


@pytest.mark.parametrize(
    ("scenario", "why"), [("penalty", "its penalty is about whole steps"), ("dropout", "random")]
)
def test_what_cannot_be_shared_is_read_by_one_and_said(
    scenario: str, why: str, two: dict[str, list[Facts]]
) -> None:
    leader, other = two[scenario]
    (told,) = leader["told"]
    assert told.startswith("test: one process reads all examples")
    assert why in told
    assert other["told"] == []
    assert other["fitted"] == leader["fitted"]
    if scenario == "penalty":
        assert (leader["rows"], other["rows"]) == (18, 0)


def test_a_loss_that_is_no_number_stops_all(two: dict[str, list[Facts]]) -> None:
    leader, other = two["nan"]
    assert leader["error"].startswith("StageError: test: loss nan with gradient norm")
    assert other["error"] == leader["error"]
    assert len(leader["steps"]) == len(other["steps"]) == 2


def test_what_goes_wrong_in_one_is_said_by_all(two: dict[str, list[Facts]]) -> None:
    for found in two["fails"]:
        assert found["error"] == "StageError: process 1 of 2: RuntimeError: out of memory"
        assert len(found["steps"]) == 2


def test_a_process_that_is_killed_ends_the_others(tmp_path: Path, environment: Environment) -> None:
    assert by_hand(environment, tmp_path, "other-dies") == [3, -9]
    found = json.loads((tmp_path / "other-dies-0.json").read_text())
    assert found["error"].startswith("RunError: process 0 of 2 has lost the others: one has ended")
    assert "The same command goes on from here" in found["error"]
    assert len(found["steps"]) == 3


def test_processes_that_do_different_things_say_so(
    tmp_path: Path, environment: Environment
) -> None:
    assert torchrun(environment, tmp_path, "astray") == 0
    for found in said(tmp_path, "astray"):
        assert "the processes of this run do different things (0: fit 1, test" in found["error"]
