"""The whole pipeline on the real benchmark files, with the shipped base; and its signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "mmlu").exists(), reason=f"no files in {REAL}")

SMALL = [
    "--set", "seeds.n=20", "--set", "brainstorm.n=4", "--set", "brainstorm.max_new_tokens=48",
    "--set", "respond.max_new_tokens=32", "--set", "specialise.options.max_steps=1",
    "--set", "compose.mixse.options.max_steps=1", "--set", "evaluate.limit=2",
]  # fmt: skip


BENCHMARKS = {
    *("coding/humaneval", "coding/mbpp"),
    *("knowledge/mmlu", "knowledge/nq-open", "knowledge/truthfulqa"),
    "math/gsm8k",
    *("reasoning/bbh", "reasoning/piqa"),
}
"""What there are files for."""

ABSENT = {"knowledge/triviaqa", "math/math", "reasoning/hellaswag"}


@needs_real
def test_all_stages_on_real_files(command, tmp_path):
    (tmp_path / "run.yaml").write_text("compose:\n  mixse:\n    router: topk\n")
    arguments = ["run.yaml", "--track", "benchmark", "--data-dir", str(REAL), "--out", "real"]
    arguments += [*SMALL, "--set", "seeds.n=100", "--set", "brainstorm.n=12"]
    arguments += ["--set", "evaluate.limit=1"]
    done = command("run", *arguments)
    assert done.returncode == 0, done.stderr
    for name in ABSENT:
        assert f"Not asked: {name}: " in done.stderr
    results = json.loads((tmp_path / "real" / "report" / "results.json").read_text())
    domains = ("coding", "knowledge", "math", "reasoning")
    assert [system["name"] for system in results["systems"]] == [
        *("base", *(f"expert-{domain}" for domain in domains), "mixse")
    ]
    for system in results["systems"]:
        assert set(system["scores"]) == BENCHMARKS
        gsm8k = system["scores"]["math/gsm8k"]
        assert (gsm8k["n"], gsm8k["extra"]["shots_asked"]) == (1, 8)
        assert gsm8k["extra"]["overflowed"] == 0
    (sample,) = [
        json.loads(line)
        for path in (tmp_path / "real" / "evaluations").glob("mixse@*/math.gsm8k.samples.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sample["prompt"].count("\n\nQ: ") == 8
    again = command("run", *arguments)
    assert "Nothing to do" in again.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
)
def test_a_signal_ends_a_run_that_goes_on_later(environment, tmp_path, number, code, word):
    process = subprocess.Popen(
        [sys.executable, "-m", "selfmoe", "run", "--domains", "math", "--out", "run", *SMALL],
        env=environment(),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a background shell ignores it
    )
    try:
        lines = iter(process.stderr.readline, "")
        assert any(line.startswith("[2/") for line in lines)
        process.send_signal(number)
        _, rest = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert f"{word}; the same command goes on from here" in rest
    assert "Traceback" not in rest
    assert not list(tmp_path.rglob(".*.tmp-*"))
