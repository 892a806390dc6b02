"""The option ``weight``: what the experts weigh that a token keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from selfmoe.contracts.component import ComponentConfig

Weight = Literal["softmax", "one"]
"""Probabilities as they are, or scaled to sum 1."""


class WeightConfig(ComponentConfig):
    """Options of routers that keep some of a softmax's probabilities."""

    weight: Weight = Field(
        "softmax",
        description="What the experts that are kept weigh: their probabilities, the rest left to "
        "the base (softmax), or these scaled to sum 1, so that one alone acts as trained (one).",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_renormalise(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "renormalise" in given:
            raise ValueError(
                "there is no renormalise any more; write weight: one where it was true, "
                "weight: softmax where it was false"
            )
        return given
