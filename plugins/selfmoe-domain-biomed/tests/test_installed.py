"""What the installed distribution declares, and that selfmoe finds it."""

from __future__ import annotations

from importlib.metadata import distribution, entry_points

from selfmoe.testing import registry_of
from selfmoe_domain_biomed import Biomed


def test_the_entry_point_is_its_own():
    (point,) = entry_points(group="selfmoe", name="domain-biomed")
    assert point.value == "selfmoe_domain_biomed"
    assert point.dist.name == "selfmoe-domain-biomed"
    assert distribution("selfmoe-domain-biomed").requires[0].startswith("selfmoe<")


def test_selfmoe_lists_it_and_uses_it_only_when_asked():
    entry = registry_of(installed=True).entry("domain", "biomed")
    assert entry.cls is Biomed
    assert entry.plugin.distribution == "selfmoe-domain-biomed"
    assert not Biomed.default
