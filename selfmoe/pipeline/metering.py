"""Doing a task and saying what it took, by which it is told what others will take."""

from __future__ import annotations

from typing import Any

from selfmoe.models.launched import number_of_processes
from selfmoe.pipeline.session import Session
from selfmoe.pipeline.task import Job
from selfmoe.store.cell import FAILURE, LOCK


def metered(job: Job) -> dict[str, Any]:
    """Do a task; return its cost, for the seal of its cell.

    ``amount`` is that of the plan, ``tokens`` what the base computed meanwhile, ``whole`` whether
    that is all, and its own: not so where a killed process had begun, where other processes did a
    part, or where others' cells were filled, too. ``place`` says where.
    """
    whole = all(path.name in (FAILURE, LOCK) for path in job.work.iterdir())
    meter = job.session.meter
    before, meter.mixed = meter.tokens, False
    job.task.run(job)
    tokens = meter.tokens.since(before)
    cost = {
        "amount": job.task.amount(),
        "tokens": tokens._asdict(),
        "whole": whole and not meter.mixed and number_of_processes() == 1,
        "place": place_of(job.session),
    }
    return {"cost": cost}


def place_of(session: Session) -> str:
    """Return where a base computes, as ``cpu, float32, 2 threads``."""
    import torch

    files = session.files
    here = f"{files.device}, {files.dtype}"
    return f"{here}, {torch.get_num_threads()} threads" if files.device == "cpu" else here
