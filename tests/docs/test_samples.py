"""Code blocks of the pages: YAML is a valid configuration, commands parse, Python runs."""

from __future__ import annotations

import random
import shlex
from types import ModuleType

import click
import pytest
import yaml

from _generate.quotes import EXAMPLES
from selfmoe.cli.app import cli as group
from selfmoe.config.resolve import resolve
from selfmoe.contracts.records import Source
from selfmoe.registry.registry import Registry
from selfmoe.testing import DomainContract


def commands_in(text: str) -> list[list[str]]:
    """Return the arguments of every ``selfmoe …`` line of a shell block."""
    joined = text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.partition(" > ")[0], comments=True) for line in joined]
    return [line[1:] for line in words if line and line[0] == "selfmoe"]


def parse(arguments: list[str]) -> None:
    """Let click parse a command line without running it; files need not exist."""
    command, context = group, click.Context(group, info_name="selfmoe")
    while isinstance(command, click.Group):
        name, command, arguments = command.resolve_command(context, arguments)
        context = click.Context(command, parent=context, info_name=name)
    try:
        command.make_context(context.info_name, arguments, parent=context.parent)
    except click.BadParameter as error:
        if not isinstance(error.param.type, click.Path):
            raise


def test_every_command_line_parses(texts, blocks):
    lines = [
        line
        for text in texts.values()
        for language in ("sh", "console", "bash")
        for block in blocks(text, language)
        for line in commands_in(block)
    ]
    assert len(lines) > 10
    for line in lines:
        parse(line)


@pytest.mark.parametrize("line", ["runn", "run --sets a=1", "generate runs/demo", "config shows"])
def test_a_wrong_command_line_is_noticed(line):
    with pytest.raises(click.UsageError):
        parse(line.split())


def test_every_run_on_the_pages_has_valid_settings(texts, blocks, cli, tmp_path):
    (file,) = [text for text in blocks(texts["quickstart"], "yaml") if "run.yaml" in text]
    (tmp_path / "run.yaml").write_text(file)
    seen = 0
    for text in texts.values():
        for arguments in (line for block in blocks(text, "sh") for line in commands_in(block)):
            if arguments[0] == "run":
                told = [n for n, word in enumerate(arguments) if word == "--rates"]
                dry = {n + 1 for n in told} | {*told}
                settings = [w for n, w in enumerate(arguments) if n and n not in dry]
                settings = [word for word in settings if word != "--dry-run"]
                shown = cli("config", "show", *settings)
                assert shown.exit_code == 0, (arguments, shown.stderr)
                seen += 1
    assert seen > 4


def test_every_yaml_block_is_a_valid_configuration(texts, blocks):
    for name, text in texts.items():
        for block in blocks(text, "yaml"):
            plugins = EXAMPLES / name  # a page may show the plugin that its settings name
            beside = {"plugin_dir": str(plugins)} if plugins.is_dir() else {}
            assert resolve(yaml.safe_load(block) | beside, name).domains


def test_every_python_block_compiles(texts, blocks):
    found = [(name, block) for name, text in texts.items() for block in blocks(text, "python")]
    assert found
    for name, block in found:
        compile(block, f"{name}.md", "exec")


def test_the_quick_starts_python_runs(quickstart_python):
    names = quickstart_python
    assert sum(names["record"].shares().values()) == pytest.approx(1)
    assert names["model"].mixture.composition.composer == "topk"


def test_the_quick_starts_domain_is_one(pages, blocks):
    (source,) = [b for b in blocks(pages["quickstart"], "python") if "SELFMOE_API" in b]
    module = ModuleType("doubling")
    exec(source, vars(module))
    found = Registry()
    found.load("mine", "mine", "1.0", lambda: module)
    assert [plugin.reason for plugin in found.plugins] == [""]
    domain = found.configure("domain", "doubling")
    DomainContract().test_says_what_it_is(domain)
    (benchmark,) = domain.benchmarks(Source())
    assert len(domain.seeds(Source(), 20, random.Random(0))) == 20
    assert all(benchmark.score(doc, benchmark.gold(doc))["score"] == 1 for doc in benchmark.items)
