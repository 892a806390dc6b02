"""The stages, in the order data goes through them.

    seeds -> brainstorm -> respond -> curate -> specialise -> compose -> evaluate -> report

Each module has ``plan(plan)``, which adds the stage's tasks, and the function that does one of
them. The report is made from the finished cells and is no stage of this list.
"""

from __future__ import annotations

from types import ModuleType

from selfmoe.pipeline.stages import s1_seeds as seeds
from selfmoe.pipeline.stages import s2_brainstorm as brainstorm
from selfmoe.pipeline.stages import s3_respond as respond
from selfmoe.pipeline.stages import s4_curate as curate
from selfmoe.pipeline.stages import s5_specialise as specialise
from selfmoe.pipeline.stages import s6_compose as compose
from selfmoe.pipeline.stages import s7_evaluate as evaluate

STAGES: tuple[ModuleType, ...] = (
    seeds,
    brainstorm,
    respond,
    curate,
    specialise,
    compose,
    evaluate,
)
