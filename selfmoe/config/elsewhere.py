"""Settings on who writes and who works, if not the process of the run itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from selfmoe.config.section import Section


class GenerateConfig(Section):
    """Who writes with the plain base, in brainstorm, respond and its evaluations."""

    backend: str | None = Field(
        None, description="Backend plugin, such as openai; default: this process writes itself."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The backend's options.")
    stages: list[Literal["brainstorm", "respond", "evaluate"]] = Field(
        ["brainstorm", "respond", "evaluate"], description="Stages in which the backend writes."
    )


class ExecuteConfig(Section):
    """Who does the work, and how many at once; what comes out is the same, so no run keeps this."""

    executor: str | None = Field(
        None, description="Executor plugin, such as ray; default: the installed default one."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The executor's options.")
    retries: int = Field(
        3, ge=0, le=100, description="Tries more of a unit of work whose worker died."
    )
