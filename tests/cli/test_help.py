"""Every command says in its help what it does, with examples, and the examples work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from selfmoe.cli.app import cli as group

PARSED_ONLY = (
    "selfmoe run", "selfmoe report", "selfmoe explain-data",
    "selfmoe explain-score", "selfmoe add-expert",
    "selfmoe remove-expert", "selfmoe evaluate", "selfmoe merge", "selfmoe compare-logs",
    "selfmoe claims", "selfmoe continual",
    "selfmoe export", "selfmoe push",
    "selfmoe serve", "selfmoe lm-eval", "selfmoe chat",
)  # fmt: skip
"""Examples that would take minutes, open a window, or ask for what this run or machine lacks.

With ``--dry-run`` they are run, too, unless they need another run of the same base.
"""


def walk(command: click.Command, name: str):
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            yield from walk(command.get_command(context, sub), f"{name} {sub}")


ALL = {name: command for name, command in walk(group, "selfmoe") if name != "selfmoe"}
EXAMPLES = [
    line.strip()
    for name, command in ALL.items()
    for line in re.findall(rf"^ *{name}\b.*", (command.help or "").split("Examples:")[-1], re.M)
    if "Examples:" in (command.help or "")
]


@pytest.mark.parametrize("name", ALL)
def test_the_help_is_one_sentence_then_examples(name):
    summary = ALL[name].help.split("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*\w\)?\.", " ".join(summary.split())), summary
    assert ". " not in summary
    if not isinstance(ALL[name], click.Group):
        assert any(example.startswith(name) for example in EXAMPLES), "no examples"


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_examples_work(line, finished, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = shlex.split(re.sub(r" > \S+$", "", line))[1:]
    dry = "--dry-run" in line and "--rates" not in line
    if any(part in line for part in PARSED_ONLY) and not dry:
        context = group.make_context("selfmoe", list(words))
        name, command, rest = group.resolve_command(context, words)
        command.make_context(name, rest, parent=context)
        return
    result = CliRunner().invoke(group, words, prog_name="selfmoe")
    assert result.exit_code == 0, result.output


def test_debug_shows_where_an_error_was_raised(command):
    plain = command("status", "absent")
    assert (plain.returncode, "Traceback" in plain.stderr) == (1, False)
    for done in (
        command("--debug", "status", "absent"),
        command("status", "absent", SELFMOE_DEBUG="1"),
    ):
        assert done.returncode == 1
        assert "Traceback (most recent call last)" in done.stderr
        assert done.stderr.endswith(plain.stderr)


HEAVY_BLOCKED = """
import sys
for name in ("torch", "transformers", "peft", "datasets", "lm_eval"):
    sys.modules[name] = None
from selfmoe.cli import main
sys.argv = ["selfmoe", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["status", "runs/demo"],
        ["gc", "runs/demo", "--dry-run"],
        ["config", "show"],
        ["config", "schema"],
        ["init"],
        ["completion", "bash"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_for_a_look(words, finished, tmp_path, environment):
    done = subprocess.run(
        [sys.executable, "-c", HEAVY_BLOCKED, *words],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("selfmoe co", ["config", "compare", "compare-logs", "continual", "completion"]),
        ("selfmoe config s", ["schema", "show"]),
        ("selfmoe run --domains math,kno", ["math,knowledge"]),
        ("selfmoe run --base se", ["seedling"]),
        ("selfmoe run --set brainstorm.t", ["brainstorm.temperature=", "brainstorm.top_p="]),
        ("selfmoe run --preset p", ["paper"]),
        ("selfmoe status ru", ["runs/demo"]),
        ("selfmoe generate runs/demo --system expert", ["expert-anything"]),
        ("selfmoe generate absent --system e", []),
        ("selfmoe report ru", ["runs/demo"]),
        ("selfmoe explain-data runs/demo any", ["anything"]),
        ("selfmoe explain-score runs/demo m", ["mixse"]),
        ("selfmoe explain-score runs/demo mixse any", ["anything/mini"]),
        ("selfmoe explain-score runs/demo nobody any", []),
    ],
)
def test_the_tab_key(words, expected, finished, tmp_path, environment):
    variables = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_SELFMOE_COMPLETE": "bash_complete",
    }
    script = HEAVY_BLOCKED.replace("*sys.argv[1:]", "")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(**variables),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = [line.partition(",")[2] for line in done.stdout.splitlines() if line]
    assert found == expected, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_of_its_shell(shell, cli):
    result = cli("completion", shell)
    assert result.exit_code == 0
    assert f"_SELFMOE_COMPLETE={shell}_complete" in result.stdout
