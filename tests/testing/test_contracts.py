"""Every installed component holds its contract; a new plugin is tested by being installed."""

from __future__ import annotations

import pytest

from selfmoe.registry.registry import registry
from selfmoe.testing import BaseContract, ComposerContract, DomainContract, TrainerContract

COMPOSERS = [(kind, name) for kind in ("router", "merge") for name in registry().names(kind)]
DOMAINS = [  # those that are made of files have their contract tested where there are files
    name for name in registry().names("domain") if not registry().get("domain", name).from_files
]


BASES = [  # those of other distributions have theirs tested there, where their files are
    name
    for name in registry().names("base")
    if registry().entry("base", name).plugin.distribution == "selfmoe"
]


class TestBases(BaseContract):
    @pytest.fixture(params=BASES)
    def base(self, request):
        return registry().configure("base", request.param)


class TestTrainers(TrainerContract):
    @pytest.fixture(params=registry().names("trainer"))
    def trainer(self, request):
        return registry().configure("trainer", request.param)


class TestDomains(DomainContract):
    @pytest.fixture(params=DOMAINS)
    def domain(self, request):
        return registry().configure("domain", request.param)


class TestComposers(ComposerContract):
    @pytest.fixture(params=COMPOSERS, ids=[name for _, name in COMPOSERS])
    def composer(self, request):
        return registry().configure(*request.param)


@pytest.mark.parametrize("kind", ["base", "domain", "trainer", "router", "merge"])
def test_every_kind_is_shipped(kind):
    assert registry().names(kind)


def test_no_shipped_plugin_is_broken():
    assert {plugin.name: plugin.reason for plugin in registry().plugins if not plugin.ok} == {}
