"""Ray's workers hold the contract; skipped where Ray is not installed."""

from __future__ import annotations

import pytest

from selfmoe.testing import ExecutorContract
from selfmoe_executor_ray import Ray

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """Keep one Ray for all checks: to start one takes longer than they do."""
    first = Ray(Ray.Config(workers=2)).open(len, {})
    yield
    first.close()


class TestRay(ExecutorContract):
    @pytest.fixture
    def executor(self, cluster):
        return Ray(Ray.Config(workers=2))
