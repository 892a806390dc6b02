"""What ``comparison/results.json`` holds, as types; shares and units as in ``reporting.model``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfmoe.contracts.records import SystemKind
from selfmoe.reporting.model import Results, SystemScores
from selfmoe.store.record import StrictRecord


class ComparedSystem(SystemScores):
    """One system of a comparison: its scores, what it is, and what it costs.

    Attributes:
        composer: Name of its composer; ``None`` for base and experts.
        options: The composer's options.
        control: Whether its composer decides without looking.
        trained_parameters: Numbers its composer fitted.
        added_parameters: Numbers it holds beside the base's.
        flops: Floating-point operations of a prefill.
        forward: ``flops`` over those of the base.
        entropy: Of a token's weights, in bits, over answers.
        collapsed: The expert that gets nearly all weight, if there is one.
        seconds: Time to compose and evaluate it, a seed.
    """

    composer: str | None
    options: dict[str, Any] | None
    control: bool
    trained_parameters: int | float | None
    added_parameters: int | float | None
    flops: int | None
    forward: float | None
    entropy: float | None
    collapsed: str | None
    seconds: float


class OrderedPair(StrictRecord):
    """Two systems of which one should be the better one.

    Attributes:
        below: The one that should lie below.
        above: The other.
        difference: ``above`` less ``below``.
        p: Two-sided p that there is no difference, 0..1.
        holds: Whether it is so; ``None`` where chance explains it.
    """

    below: str
    above: str
    difference: float
    p: float | None
    holds: bool | None


class ComparisonResults(Results):
    """What ``comparison/results.json`` holds.

    Attributes:
        root_seed: Root seed of the pipeline whose experts are compared.
        seed: What the seeds are called.
        tokens: Length of the prefill that is counted.
        order: What a learned router must show.
        left_out: Composers that cannot work, by label, each with why.
        missing: ``seed -> cell -> why`` of what could not be done.
    """

    root_seed: int
    seed: str
    tokens: int
    systems: Sequence[ComparedSystem]
    order: list[OrderedPair]
    left_out: dict[str, str]
    missing: dict[str, dict[str, str]]

    @property
    def seed_name(self) -> str:
        """Return what the seeds are called."""
        return self.seed

    @property
    def fixed(self) -> tuple[SystemKind, ...]:
        """Return the kinds of systems that no seed touches."""
        return ("base", "expert")
