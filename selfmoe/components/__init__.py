"""The parts a plugin can provide: Base, Domain, Trainer, Router, Merge.

All have one shape: a ``name``, a docstring whose first line says what it is, a nested ``Config``
(pydantic, unknown keys forbidden) and a few methods. ``options`` holds the validated config.
Nothing here imports torch; components import it inside their methods.
"""

from selfmoe.components.base import Base
from selfmoe.components.benchmark import Benchmark
from selfmoe.components.component import Component, ComponentConfig, FitConfig
from selfmoe.components.composer import (
    ComposeContext,
    Composer,
    Gate,
    Merge,
    Need,
    Router,
    Site,
    TokenInfo,
    check_k,
)
from selfmoe.components.domain import Domain
from selfmoe.components.learned import LearnedRouter
from selfmoe.components.softmax import SoftmaxConfig, SoftmaxRouter
from selfmoe.components.trainer import TrainContext, Trainer

__all__ = [
    "Base",
    "Benchmark",
    "Component",
    "ComponentConfig",
    "ComposeContext",
    "Composer",
    "Domain",
    "FitConfig",
    "Gate",
    "LearnedRouter",
    "Merge",
    "Need",
    "Router",
    "Site",
    "SoftmaxConfig",
    "SoftmaxRouter",
    "TokenInfo",
    "TrainContext",
    "Trainer",
    "check_k",
]
