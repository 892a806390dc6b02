"""Two good distributions among eleven troublesome ones: the good always work, the bad are told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

GOOD = '''
from selfmoe import hookimpl
from selfmoe.contracts.base import Base
SELFMOE_API = 1
class {cls}(Base):
    """A base for tests."""
    name = "{name}"
    def path(self): return "."
@hookimpl
def register_bases(): return [{cls}]
'''


def good(name: str) -> str:
    """Return the code of a plugin with one base called ``name``."""
    return GOOD.format(cls=name.title().replace("-", ""), name=name)


CODE: Mapping[str, str] = {
    "good-one": good("good-one"),
    "good-two": good("good-two"),
    "prints": "print('hello from the plugin')\n" + good("prints"),
    "slow": "import time\ntime.sleep(5)\n" + good("slow"),
    "raises": "raise ImportError('no such thing')",
    "exits": "import sys\nsys.exit(3)",
    "syntax": "x = 1\ndef broken(:\n",
    "missing": "import a_module_that_nobody_has",
    "arguments": good("arguments").replace("_bases()", "_bases(config)"),
    "misspelt": good("misspelt").replace("_bases()", "_base()"),
    "taken": good("taken").replace('"taken"', '"seedling"'),
    "hook-raises": good("hook-raises").replace("return [", "raise ValueError('out of bases')  # "),
    "too-new": good("too-new"),
}
"""The thirteen distributions, by the name of their entry point."""

REQUIRES: Mapping[str, str] = {"too-new": "selfmoe>=99", "good-one": "selfmoe>=0.1"}

CAUSES: Mapping[str, str] = {
    "raises": "ImportError: no such thing",
    "exits": "called sys.exit(3) while loading",
    "syntax": "SyntaxError: invalid syntax (plugin_syntax.py, line 2)",
    "missing": "ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
    "arguments": "register_bases takes 'config', but the hook passes no arguments",
    "misspelt": "implements unknown hook 'register_base'; did you mean 'register_bases'?",
    "taken": "base 'seedling' is already provided by selfmoe 0.1.0",
    "hook-raises": "register_bases failed: ValueError: out of bases",
    "too-new": "needs selfmoe>=99, this is 0.1.0; upgrade selfmoe: pip install --upgrade selfmoe",
}
"""What is said of those that are broken."""

WORKING = [name for name in CODE if name not in CAUSES]


@pytest.fixture(scope="module")
def site(tmp_path_factory, install):
    """Return a folder with all thirteen installed."""
    folder = tmp_path_factory.mktemp("thirteen")
    for name, code in CODE.items():
        install(folder, name, code, requires=REQUIRES.get(name, ""))
    return folder


def test_there_are_thirteen():
    assert len(CODE) == 13


def test_the_good_are_listed_and_every_bad_one_gets_one_line(site, command):
    done = command("list-plugins", "--json", paths=(site,))
    assert (done.returncode, done.stderr) == (0, "")
    ours = {f"selfmoe-{name}" for name in CODE}  # others may be installed here, too
    rows = [row for row in json.loads(done.stdout) if row["distribution"] in ours]
    assert len(rows) == len(CODE)
    assert {row["name"]: row["reason"] for row in rows if row["status"] == "broken"} == CAUSES
    assert {row["name"] for row in rows if row["status"] == "ok"} == set(WORKING)
    for row in rows:
        assert (row["distribution"], row["version"]) == (f"selfmoe-{row['plugin']}", "1.2")
    (slow,) = [row for row in rows if row["plugin"] == "slow"]
    assert slow["seconds"] >= 5


def test_the_table_shows_how_long_an_import_takes(tmp_path, command, install):
    install(tmp_path / "site", "slow", CODE["slow"].replace("sleep(5)", "sleep(1.2)"))
    install(tmp_path / "site", "raises", CODE["raises"])
    done = command(
        "list-plugins", paths=(tmp_path / "site",), SELFMOE_PLUGINS="slow,raises", COLUMNS="200"
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "selfmoe-slow" in line]
    assert re.search(r"ok \(takes \d\.\d s to *import\)|ok \(takes \d\.\d s to", line)
    (line,) = [line for line in done.stdout.splitlines() if "selfmoe-raises" in line]
    assert "broken: ImportError: no such" in line
    assert "takes" not in line


def test_what_needs_no_plugin_does_not_wait_for_them(site, command):
    for arguments in (("--help",), ("run", "--help"), ("--version",)):
        done = command(*arguments, paths=(site,))
        assert (done.returncode, done.stderr) == (0, "")
        assert "hello from the plugin" not in done.stdout


@pytest.mark.parametrize(
    "raised",
    ["BaseException('odd')", "GeneratorExit('odd')", "asyncio.CancelledError('odd')"],
)
def test_whatever_is_raised_the_others_go_on(raised, tmp_path, command, install):
    install(tmp_path / "site", "odd", f"import asyncio\nraise {raised}")
    install(tmp_path / "site", "well", good("well"))
    done = command("list-plugins", "--json", paths=(tmp_path / "site",), SELFMOE_PLUGINS="odd,well")
    assert done.returncode == 0, done.stderr
    rows = {row["plugin"]: row for row in json.loads(done.stdout)}
    assert rows["well"]["status"] == "ok"
    assert rows["odd"]["reason"].endswith("Error: odd" if "asyncio" in raised else ": odd")


@pytest.mark.parametrize(
    ("requires", "problem"),
    [
        ("selfmoe<0.1", "upgrade selfmoe-x: pip install --upgrade selfmoe-x"),
        ("selfmoe>=99", "upgrade selfmoe: pip install --upgrade selfmoe"),
        ("SelfMoE ~= 2.0", "upgrade selfmoe: "),
        ("selfmoe>=0.1,<1", None),
        ("selfmoe", None),
        ("selfmoe>=99; extra == 'later'", None),
        ("selfmoe>=99; python_version < '3'", None),
        ("selfmoe-other>=99", None),
        ("not a requirement >=", None),
    ],
)
def test_what_a_distribution_requires(requires, problem):
    from selfmoe.registry.discovery import requirement_problem

    said = requirement_problem([requires], "selfmoe-x")
    assert (said is None) == (problem is None)
    assert (problem or "") in (said or "")


def test_a_plugin_with_several_problems_says_how_many(tmp_path, command, install):
    code = CODE["misspelt"].replace("SELFMOE_API = 1", "")
    install(tmp_path / "site", "bad", code)
    done = command("list-plugins", "--json", paths=(tmp_path / "site",), SELFMOE_PLUGINS="bad")
    (row,) = json.loads(done.stdout)
    expected = "does not state SELFMOE_API = 1 (and 1 problem more, see: selfmoe check-plugin bad)"
    assert row["reason"] == expected


def test_a_hook_that_never_ends_is_cut_off(tmp_path, command, install):
    code = good("endless").replace("return [Endless]", "\n    while True:\n        yield Endless")
    install(tmp_path / "site", "endless", code)
    done = command("list-plugins", "--json", paths=(tmp_path / "site",), SELFMOE_PLUGINS="endless")
    (row,) = json.loads(done.stdout)
    assert row["reason"] == "register_bases returned more than 1000 classes"
