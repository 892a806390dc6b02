"""Keeping training data to what the base can read."""

from __future__ import annotations

from selfmoe.contracts.records import Example
from selfmoe.models.tokens import STRANGE, unknown_token
from selfmoe.pipeline.task import Job


class TooLong:
    """Refuses examples that do not fit the base's context, or that it cannot read."""

    def __init__(self, job: Job) -> None:
        self._base = job.session.base

    def __call__(self, example: Example) -> str | None:
        """Return the reason, if there is one."""
        from selfmoe.models.fitting.batches import encode

        base = self._base
        ids = encode(example, base.tokenizer, base.template).ids
        if unknown_token(base.tokenizer, base.model, ids):
            return STRANGE
        return None if len(ids) <= base.context else "longer than the context"
