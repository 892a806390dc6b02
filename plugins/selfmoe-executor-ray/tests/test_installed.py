"""What the installed distribution declares, and that selfmoe finds it."""

from __future__ import annotations

from importlib.metadata import distribution, entry_points

from selfmoe.testing import registry_of
from selfmoe_executor_ray import Ray


def test_the_entry_point_is_its_own():
    (point,) = entry_points(group="selfmoe", name="executor-ray")
    assert point.value == "selfmoe_executor_ray"
    assert point.dist.name == "selfmoe-executor-ray"
    assert any(need.startswith("selfmoe[ray]") for need in distribution(point.dist.name).requires)


def test_selfmoe_lists_it_and_uses_it_only_when_asked():
    entry = registry_of(installed=True).entry("executor", "ray")
    assert entry.cls is Ray
    assert entry.plugin.distribution == "selfmoe-executor-ray"
    assert not Ray.default
