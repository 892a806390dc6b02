"""A full disk is said to be one, whoever was writing."""

from __future__ import annotations

import resource

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import RunError
from selfmoe.pipeline.doing import deliberate
from selfmoe.pipeline.make import make_plans


def test_while_tensors_are_written(tmp_path):
    task = make_plans(resolve({"out": str(tmp_path / "run")})).tasks[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        save_file({"a": torch.zeros(5000)}, tmp_path / "a.safetensors")
    except SafetensorError as error:
        failure = deliberate(error, task)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(failure, RunError)
    assert str(failure).startswith(f"cannot write {task.cell.work}: File too large\n")
