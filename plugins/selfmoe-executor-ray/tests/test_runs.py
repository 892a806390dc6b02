"""A run by two workers of Ray has the files of one by its own process; skipped without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfmoe_executor_ray import Ray

ray = pytest.importorskip("ray")

SETTINGS = """
domains: [math]
preset: demo
dtype: float32
device: cpu
seeds: {n: 6}
curate: {data: seeds}
specialise: {options: {max_steps: 2, batch_size: 2, r: 2}}
compose: {ties: {merge: ties}}
evaluate: {limit: 3, batch_size: 3, base_shots: 0}
"""


def made(place: Path, name: str, *flags: str) -> tuple[dict[str, bytes], str]:
    """Return the files of a run, seals aside, which hold times, and what it said."""
    (place / "run.yaml").write_text(SETTINGS)
    out = place / name
    command = [sys.executable, "-m", "selfmoe", "run", str(place / "run.yaml"), "--out", str(out)]
    done = subprocess.run(
        [*command, *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    files = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.glob("*/*@*/**/*"))
        if path.is_file() and path.name != "cell.json"
    }
    return files, done.stderr


def test_the_files_are_those_of_one_process(tmp_path: Path) -> None:
    one, _ = made(tmp_path, "one")
    two, said = made(tmp_path, "two", "--executor", "ray", "--workers", "2")
    assert one == two
    assert len([name for name in one if name.startswith("evaluations/")]) >= 3
    assert "compose ties (1 expert) done" in said


def test_a_cluster_that_is_not_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from selfmoe.contracts import StageError

    def absent(**how: object) -> None:
        raise ConnectionError("nobody answers\nand more")

    monkeypatch.setattr(ray, "init", absent)
    executor = Ray(Ray.Config(address="127.0.0.1:1"))
    with pytest.raises(StageError, match=r"^no Ray at 127\.0\.0\.1:1: nobody answers\n"):
        executor.open(len, {})


def test_stages_may_have_resources_of_their_own() -> None:
    from selfmoe_executor_ray.cluster import Cluster, Resources

    options = Ray.Config(num_cpus=2, stages={"specialise": {"num_gpus": 1}})
    cluster = object.__new__(Cluster)
    cluster._options = options
    assert cluster._resources("respond") == Resources(2, 0, None)
    assert cluster._resources("specialise") == Resources(2, 1, None)
