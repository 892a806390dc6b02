"""Fixtures for the tests of plugins; pytest finds them where selfmoe is installed.

    def test_takes_part_in_a_run(toy_run):
        run = toy_run(MyRouter)
        assert "router-mine" in [system.name for system in run.results.systems]

``-p no:selfmoe`` leaves them out. Nothing is imported here before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selfmoe.api.run import Run
    from selfmoe.contracts.records import Example, Expert, LoadedBase
    from selfmoe.registry.registry import Registry


@pytest.fixture
def tiny_base() -> LoadedBase:
    """Return a random Llama of three blocks with a byte tokenizer."""
    from selfmoe.testing import models

    return models.tiny_base()


@pytest.fixture
def tiny_experts(tiny_base: LoadedBase, tmp_path: Path) -> dict[str, Expert]:
    """Return two random experts for ``tiny_base``, of ranks 2 and 3, by name."""
    from selfmoe.testing import models

    return models.tiny_experts(tiny_base.model, tmp_path / "experts")


@pytest.fixture
def toy_examples() -> list[Example]:
    """Return six short examples of the domains that ``tiny_experts`` are named after."""
    from selfmoe.testing import models

    return models.tiny_examples()


@pytest.fixture(scope="session")
def toy_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a saved base that writes short words."""
    from selfmoe.testing import models

    return models.save_toy_base(tmp_path_factory.mktemp("toy-base"))


@pytest.fixture
def registry_of() -> Callable[..., Registry]:
    """Return what makes a registry of some modules or component classes and no others."""
    from selfmoe.testing import registries

    return registries.registry_of


@pytest.fixture
def toy_run(toy_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Return what does a run with some components: ``toy_run(MyRouter, evaluate={"limit": 1})``.

    Modules and classes are given in order, settings by name. For the rest of the test, runs know
    these components and toys, and none that is installed.
    """

    def run(*providers: Any, **settings: Any) -> Run:
        from selfmoe.testing import runs

        return runs.toy_run(
            *providers,
            base=toy_base,
            out=tmp_path / "toy-run",
            patch=monkeypatch,
            settings=settings,
        )

    return run
