"""Seeds as examples: what experts learn where nothing that the base made is to be learned."""

from __future__ import annotations

from typing import Any

from selfmoe.pipeline.records import read_seeds
from selfmoe.pipeline.task import Job
from selfmoe.store.shards import Row


def given(job: Job) -> list[Row]:
    """Return the seeds as the respond stage would leave them, each with its own answer.

    An answer follows a space, as it does where the base writes it after ``Response:``; in a chat
    it begins a turn.
    """
    space = "" if job.session.base.template == "chat" else " "
    return [
        {
            "id": seed.id,
            "instruction": seed.instruction,
            "input": seed.input,
            "seeds": [],
            "response": seed.response,
            "continuation": space + seed.response,
            "problem": None,
        }
        for seed in read_seeds(job.input("seeds"))
    ]


def tasks(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the rows without their answers, as the brainstorm stage writes tasks."""
    return [{key: row[key] for key in ("id", "instruction", "input", "seeds")} for row in rows]
