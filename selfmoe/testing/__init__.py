"""For authors of plugins: the contracts their components must hold, and small models to test on.

    from selfmoe.testing import ComposerContract, DomainContract

Subclass a contract in a test file, give the fixture it asks for, and pytest runs its checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.register_assert_rewrite(
    "selfmoe.testing.benchmarks", "selfmoe.testing.composers", "selfmoe.testing.domains"
)

if TYPE_CHECKING:
    from selfmoe.testing.benchmarks import BenchmarkContract
    from selfmoe.testing.composers import ComposerContract
    from selfmoe.testing.domains import DomainContract

__all__ = ["BenchmarkContract", "ComposerContract", "DomainContract"]


def __getattr__(name: str) -> Any:
    """Import a contract when it is asked for; only that of composers needs torch."""
    if name == "BenchmarkContract":
        from selfmoe.testing.benchmarks import BenchmarkContract

        return BenchmarkContract
    if name == "ComposerContract":
        from selfmoe.testing.composers import ComposerContract

        return ComposerContract
    if name == "DomainContract":
        from selfmoe.testing.domains import DomainContract

        return DomainContract
    raise AttributeError(f"module 'selfmoe.testing' has no attribute '{name}'")
