"""Finished runs of a random base, made once and copied for every test that wants one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import selfmoe
from selfmoe.registry.registry import registry

RUN = Path("runs", "demo")
TWO = ["anything", "whatever"]


def write_settings(folder: Path, base: Path, plugin: str, **changes: object) -> Path:
    """Write a run file for a random base, its plugin beside it, and return its path."""
    settings = {
        "base": str(base),
        "out": str(folder / RUN),
        "domains": ["anything"],
        "seeds": {"n": 4},
        "brainstorm": {"n": 4, "batch_size": 4, "max_new_tokens": 16, "shots": 1},
        "respond": {"shots": 1, "max_new_tokens": 8},
        "specialise": {"options": {"max_steps": 1}},
        "compose": {
            "mixse": {"router": "topk", "options": {"max_steps": 1}},
            "ties": {"merge": "ties"},
        },
        "evaluate": {"limit": 2, "base_shots": 0},
        **changes,
    }
    (folder / "selfmoe_plugin.py").write_text(plugin)
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder / "run.yaml"


@pytest.fixture(scope="session")
def made(tmp_path_factory, tiny_base_folder, plugin_code) -> Path:
    """Return a folder with ``run.yaml`` and the finished run it asks for."""
    folder = tmp_path_factory.mktemp("made")
    selfmoe.run(write_settings(folder, tiny_base_folder, plugin_code))
    return folder


@pytest.fixture(scope="session")
def made_of_two(tmp_path_factory, tiny_base_folder, plugin_code) -> Path:
    """Return the finished run of two experts."""
    folder = tmp_path_factory.mktemp("two")
    return selfmoe.run(write_settings(folder, tiny_base_folder, plugin_code, domains=TWO)).path


@pytest.fixture
def two_experts(made_of_two, configure, tmp_path) -> Path:
    """Return the finished run of two experts as if it were made in the test's folder."""
    shutil.copytree(made_of_two, tmp_path / RUN)
    run = selfmoe.run(configure(domains=TWO))
    assert run.built == 0
    return run.path


@pytest.fixture
def finished(made, tmp_path) -> Path:
    """Return a copy of the finished run, at ``runs/demo`` in the test's folder."""
    return Path(shutil.copytree(made / RUN, tmp_path / RUN))


@pytest.fixture
def configure(tmp_path, tiny_base_folder, plugin_code) -> Callable[..., Path]:
    """Return a function that writes a run file into the test's folder, with changed settings."""
    return lambda **changes: write_settings(tmp_path, tiny_base_folder, plugin_code, **changes)


@pytest.fixture
def plugin_with_more(two_experts) -> None:
    """Give the run's plugin a domain more, ``further``, which nothing uses yet."""
    path = two_experts.parents[1] / "selfmoe_plugin.py"
    more = 'class Further(Anything):\n    """More."""\n\n    name = "further"\n\n\n@hookimpl'
    text = path.read_text().replace("@hookimpl", more).replace("[Anything,", "[Further, Anything,")
    path.write_text(text)
    registry.cache_clear()
