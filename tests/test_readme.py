"""What the README shows is what the code does."""

from __future__ import annotations

import importlib.util
import random
import re
from pathlib import Path

import pytest
import yaml

from selfmoe.config import resolve
from selfmoe.records import Source
from selfmoe.registry import Registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_numbers_are_those_of_the_committed_results():
    spec = importlib.util.spec_from_file_location("update", ROOT / "docs" / "update.py")
    update = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update)
    assert "Scores in %" in README
    assert update.updated(README) == README, "run: python docs/update.py"


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_yaml_block_is_a_valid_configuration(text):
    config = resolve(yaml.safe_load(text), "README.md")
    assert set(yaml.safe_load(text)["compose"]) == set(config.compose)


def test_the_plugin_in_the_readme_works(tmp_path):
    (source,) = [text for text in blocks("python") if "SELFMOE_API" in text]
    (tmp_path / "my_plugin.py").write_text(source)
    spec = importlib.util.spec_from_file_location("my_plugin", tmp_path / "my_plugin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    registry = Registry()
    registry.load("mine", "mine", "1.0", lambda: module)
    assert [plugin.reason for plugin in registry.plugins] == [""]
    domain = registry.configure("domain", "doubling")
    assert len(domain.seeds(Source(), 20, random.Random(0))) == 20
    (benchmark,) = domain.benchmarks(Source())
    assert all(benchmark.score(doc, benchmark.gold(doc))["score"] == 1 for doc in benchmark.items)


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)
