"""For authors of plugins: the contracts their components must hold, and fakes to test on.

    from selfmoe.testing import ComposerContract, DomainContract

Subclass a contract in a test file, give the fixture it asks for, and pytest runs its checks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

_HOMES = {
    "BackendContract": "backends",
    "BaseContract": "bases",
    "BenchmarkContract": "benchmarks",
    "ComponentContract": "components",
    "ComposerContract": "composers",
    "DomainContract": "domains",
    "ExecutorContract": "executors",
    "ToyDomain": "fakes",
    "ToyMerge": "fakes",
    "ToyRouter": "fakes",
    "ToyTrainer": "fakes",
    "TrainerContract": "trainers",
    "registry_of": "registries",
}
"""Public name -> the module here that has it."""

for _module in ("compare", "gates", *_HOMES.values()):
    # so that a check that fails shows what it compared
    pytest.register_assert_rewrite(f"selfmoe.testing.{_module}")

if TYPE_CHECKING:
    from selfmoe.testing.backends import BackendContract
    from selfmoe.testing.bases import BaseContract
    from selfmoe.testing.benchmarks import BenchmarkContract
    from selfmoe.testing.components import ComponentContract
    from selfmoe.testing.composers import ComposerContract
    from selfmoe.testing.domains import DomainContract
    from selfmoe.testing.executors import ExecutorContract
    from selfmoe.testing.fakes import ToyDomain, ToyMerge, ToyRouter, ToyTrainer
    from selfmoe.testing.registries import registry_of
    from selfmoe.testing.trainers import TrainerContract

__all__ = [
    "BackendContract",
    "BaseContract",
    "BenchmarkContract",
    "ComponentContract",
    "ComposerContract",
    "DomainContract",
    "ExecutorContract",
    "ToyDomain",
    "ToyMerge",
    "ToyRouter",
    "ToyTrainer",
    "TrainerContract",
    "registry_of",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for; those for models need torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'selfmoe.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"selfmoe.testing.{_HOMES[name]}"), name)
