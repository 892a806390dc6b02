"""Every contract on every broken component; run by ``test_contracts_catch.py`` beside it alone."""

from __future__ import annotations

import shutil

import broken_backends
import broken_bases
import broken_composers
import broken_domains
import broken_executors
import broken_heavy
import broken_trainers
import pytest

from selfmoe.testing import (
    BackendContract,
    BaseContract,
    ComposerContract,
    DomainContract,
    ExecutorContract,
    TrainerContract,
)
from selfmoe.testing.models import save_toy_base

MODULES = {
    "domain": (DomainContract, [broken_domains, broken_heavy]),
    "trainer": (TrainerContract, [broken_trainers]),
    "composer": (ComposerContract, [broken_composers]),
    "backend": (BackendContract, [broken_backends]),
    "base": (BaseContract, [broken_bases]),
    "executor": (ExecutorContract, [broken_executors]),
}
BROKEN = {
    f"Test{kind.title()}{cls.__name__}": (kind, cls)
    for kind, (_, modules) in MODULES.items()
    for module in modules
    for cls in vars(module).values()
    if isinstance(cls, type) and cls.__module__ == module.__name__ and hasattr(cls, "fails")
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """Return the folder of a base with nothing wrong."""
    return save_toy_base(tmp_path_factory.mktemp("sound"))


def of_base(cls):
    @pytest.fixture
    def base(self, sound, tmp_path):
        found = cls()
        found.folder = tmp_path / "base"
        shutil.copytree(sound, found.folder)
        found.spoil(found.folder)
        return found

    return base


def given(kind, cls):
    """Return the fixture that gives a contract its component."""
    if kind == "base":
        return of_base(cls)
    return pytest.fixture(lambda self: cls(), name=kind)


for name, (kind, cls) in BROKEN.items():
    globals()[name] = type(name, (MODULES[kind][0],), {kind: given(kind, cls)})
