"""The example of each hook works: it is a plugin, holds its contract and takes part in a run."""

from __future__ import annotations

import importlib
import shutil

import pytest

from _generate import quotes
from selfmoe.registry.discovery import import_file
from selfmoe.registry.inspection import KINDS, inspect_plugin
from selfmoe.testing import ComposerContract, DomainContract, TrainerContract

HOOKS = sorted((quotes.EXAMPLES / "hooks").glob("*.py"))


@pytest.mark.parametrize("path", HOOKS, ids=lambda path: path.stem)
def test_the_example_of_a_hook_is_a_plugin_of_that_hook_alone(path):
    found = inspect_plugin(import_file(path))
    assert found.problems == []
    ((kind, _),) = found.components
    assert KINDS[kind][0] == path.stem
    assert "torch" not in path.read_text("utf-8").partition("class ")[0]


def test_the_examples_of_all_hooks_make_one_run(toy_run, toy_base, tmp_path):
    shutil.copytree(toy_base, tmp_path / "hooks" / "weights")
    for path in HOOKS:
        shutil.copy(path, tmp_path / "hooks")
    modules = [import_file(tmp_path / "hooks" / path.name) for path in HOOKS]
    run = toy_run(*modules, domains=["toy", "toy-other"])
    names = {system.name for system in run.results.systems}
    assert {"router-soft", "merge-sum", "expert-toy"} <= names
    told = (run.path / "manifest.json").read_text("utf-8")
    assert all(f'"{name}"' in told for name in ("mine", "plain", "soft", "sum"))


# --- each holds the contract of its kind ----------------------------------------------------------


@pytest.fixture
def importable(monkeypatch):
    """Let the examples be imported by their names, as the contracts do."""
    monkeypatch.syspath_prepend(quotes.EXAMPLES / "hooks")


class TestDoubling(DomainContract):
    @pytest.fixture
    def domain(self, importable):
        return importlib.import_module("register_domains").Doubling()


class TestPlain(TrainerContract):
    @pytest.fixture
    def trainer(self, importable):
        return importlib.import_module("register_trainers").Plain()


class TestSum(ComposerContract):
    @pytest.fixture
    def composer(self, importable):
        return importlib.import_module("register_merges").Sum()
