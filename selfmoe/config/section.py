"""What all parts of the settings have in common."""

from __future__ import annotations

from pydantic import ConfigDict

from selfmoe.contracts.paths import WithPaths


class Section(WithPaths):
    """A part of the settings: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
