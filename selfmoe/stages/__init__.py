"""The stages, in the order data goes through them.

    seeds -> brainstorm -> respond -> curate -> specialise -> compose -> evaluate -> report

Each module has ``plan(plan)``, which adds the stage's tasks, and the function that does one of
them. The report is made from the finished cells and is no stage of this list.
"""

from __future__ import annotations

from types import ModuleType

from selfmoe.stages import brainstorm, compose, curate, evaluate, respond, seeds, specialise

STAGES: tuple[ModuleType, ...] = (
    seeds,
    brainstorm,
    respond,
    curate,
    specialise,
    compose,
    evaluate,
)
