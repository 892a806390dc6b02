"""What the README and the model card show is what the code does."""

from __future__ import annotations

import importlib.util
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from _generate.blocks import CARD, updated
from selfmoe.config.resolve import resolve
from selfmoe.contracts.records import Source
from selfmoe.registry.registry import Registry
from selfmoe.testing import DomainContract

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("file", ["README.md", CARD])
def test_the_numbers_are_those_of_the_committed_results(file):
    text = (ROOT / file).read_text("utf-8")
    assert "knowledge" in text
    assert updated(file) == text, "run: python docs/update.py"


def test_the_model_card_tells_what_the_training_log_says():
    log = (ROOT / "results" / "seedling-train.log").read_text("utf-8").splitlines()
    steps, tokens = re.match(r"step (\d+)/\d+ +([\d.]+) Mtok", log[-1]).groups()
    average = re.search(r"average ([\d.]+)", log[-1])[1]
    card = (ROOT / CARD).read_text("utf-8")
    assert f"| {steps} steps of 4 096 tokens, {float(tokens):.1f} M tokens |" in card
    assert f"| {float(average):.2f} nats" in card


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_yaml_block_is_a_valid_configuration(text):
    config = resolve(yaml.safe_load(text), "README.md")
    assert set(yaml.safe_load(text)["compose"]) == set(config.compose)


def test_the_plugin_in_the_readme_works(tmp_path):
    (source,) = [text for text in blocks("python") if "SELFMOE_API" in text]
    (tmp_path / "my_plugin.py").write_text(source)
    module = load("my_plugin", tmp_path / "my_plugin.py")
    registry = Registry()
    registry.load("mine", "mine", "1.0", lambda: module)
    assert [plugin.reason for plugin in registry.plugins] == [""]
    domain = registry.configure("domain", "doubling")
    DomainContract().test_says_what_it_is(domain)
    assert len(domain.seeds(Source(), 20, random.Random(0))) == 20
    (benchmark,) = domain.benchmarks(Source())
    assert all(benchmark.score(doc, benchmark.gold(doc))["score"] == 1 for doc in benchmark.items)


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_what_the_readme_installs_and_links_is_there():
    installed = re.findall(r"^pip install (\./\S+)", README, re.MULTILINE)
    assert installed
    assert all((ROOT / folder / "pyproject.toml").is_file() for folder in installed)
    linked = re.findall(r"\]\(((?!https?:)[^)#]+)", README)
    assert [path for path in linked if not (ROOT / path).exists()] == []
