"""``check-plugin`` finds everything that is wrong, with a message of its own for each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

GOOD = '''
from selfmoe import hookimpl
from selfmoe.contracts.base import Base
from selfmoe.contracts.component import ComponentConfig
SELFMOE_API = 1

class Plain(Base):
    """A base for tests."""
    name = "plain"
    def path(self): return "."

@hookimpl
def register_bases(): return [Plain]
'''

PYPROJECT = """
[project]
name = "selfmoe-base-plain"
version = "1.0"
dependencies = ["selfmoe>=0.1"]
[project.entry-points.selfmoe]
base-plain = "selfmoe_base_plain"
"""


@pytest.fixture(autouse=True)
def only_the_seedling(monkeypatch):
    """Keep the comparison with other plugins short."""
    monkeypatch.setenv("SELFMOE_PLUGINS", "base-seedling")


@pytest.fixture
def check(cli):
    """Return what checks a plugin and returns exit code and what was found, by state."""

    def run(*arguments: str) -> tuple[int, dict[str, list[str]]]:
        done = cli("check-plugin", *arguments, "--json")
        told = json.loads(done.output)
        found: dict[str, list[str]] = {"ok": [], "note": [], "problem": []}
        for finding in told["findings"]:
            found[finding["state"]].append(finding["found"])
            assert finding["state"] == "ok" or finding["advice"], finding
        assert told["ok"] == (not found["problem"])
        return done.exit_code, found

    return run


def project(folder: Path, code: str = GOOD, pyproject: str = PYPROJECT) -> Path:
    """Write a distribution that is not installed."""
    package = folder / "selfmoe_base_plain"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    (folder / "pyproject.toml").write_text(pyproject)
    return folder


def test_a_good_one_is_ok(check, cli, tmp_path):
    folder = project(tmp_path / "dist")
    code, found = check(str(folder))
    assert (code, found["note"], found["problem"]) == (0, [], [])
    assert "base 'plain': A base for tests" in found["ok"]
    done = cli("check-plugin", str(folder))
    assert done.exit_code == 0
    assert done.output.endswith("selfmoe-base-plain 1.0: ok\n")


CODE: Mapping[str, tuple[str, str]] = {
    "import error": ("raise ImportError('no such thing')", "ImportError: no such thing at {}:1"),
    "missing module": (
        "import os\nimport a_module_that_nobody_has",
        "ModuleNotFoundError: No module named 'a_module_that_nobody_has' at {}:2",
    ),
    "syntax error": (
        "x = 1\ndef broken(:\n",
        "SyntaxError: invalid syntax (__init__.py, line 2) at {}:2",
    ),
    "sys.exit": ("import sys\nsys.exit(3)", "called sys.exit(3) while loading at {}:2"),
    "os._exit": (
        "import os\nos._exit(0)",
        "base-plain ended the process while it was imported: exit code 0, as by os._exit(0)",
    ),
    "a crash": (
        "import os\nos.kill(os.getpid(), 11)",
        "base-plain ended the process while it was imported: killed by SIGSEGV",
    ),
    "os._exit in a hook": (
        GOOD.replace("return [Plain]", "__import__('os')._exit(7)"),
        "base-plain ended the process while its hooks were asked: exit code 7, as by os._exit(7)",
    ),
    "heavy imports": ("import torch\n" + GOOD, "imports torch when it is loaded"),
    "no api": (GOOD.replace("SELFMOE_API", "API"), "does not state SELFMOE_API = 1"),
    "other api": (
        GOOD.replace("API = 1", "API = 2"),
        "was written for plugin API 2, this selfmoe has 1; upgrade selfmoe",
    ),
    "misspelt hook": (
        GOOD.replace("_bases()", "_base()"),
        "implements unknown hook 'register_base'; did you mean 'register_bases'?",
    ),
    "wrong arguments": (
        GOOD.replace("_bases()", "_bases(config)"),
        "register_bases takes 'config', but the hook passes no arguments",
    ),
    "failing hook": (
        GOOD.replace("return [Plain]", "raise ValueError('out of bases')"),
        "register_bases failed: ValueError: out of bases",
    ),
    "no list": (
        GOOD.replace("return [Plain]", "return 3"),
        "register_bases returned 3; it must return a list of classes",
    ),
    "no component": (
        GOOD.replace("[Plain]", "['plain']"),
        "register_bases returned 'plain', which is no subclass of Base",
    ),
    "bad name": (
        GOOD.replace('"plain"', '"Plain Base"'),
        "Plain.name is 'Plain Base'; allowed are up to 64 lower-case letters, digits, - and _",
    ),
    "twice": (
        GOOD.replace("[Plain]", "[Plain, Plain]"),
        "base 'plain' is already provided by the same plugin",
    ),
    "taken": (
        GOOD.replace('"plain"', '"seedling"'),
        "base 'seedling' is already provided by selfmoe 0.1.0",
    ),
    "abstract": (
        GOOD.replace("def path", "def road"),
        "base 'plain' (Plain) does not implement path",
    ),
    "no docstring": (
        GOOD.replace('"""A base for tests."""', ""),
        "base 'plain' (Plain) has no docstring",
    ),
    "undescribed option": (
        GOOD.replace("    def", "    class Config(ComponentConfig):\n        x: int = 1\n    def"),
        "option 'x' of base 'plain' has no description",
    ),
    "odd config": (
        GOOD.replace("    def path", "    Config = dict\n    def path"),
        "the Config of base 'plain' is no ComponentConfig",
    ),
    "nothing": (
        "SELFMOE_API = 1",
        "registers nothing: no function is marked with selfmoe.hookimpl",
    ),
    "a thread that stays": (
        GOOD + "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()",
        "base-plain keeps the process from ending",
    ),
}


@pytest.mark.parametrize("name", CODE)
def test_a_problem_of_the_code(name, check, tmp_path):
    code, expected = CODE[name]
    folder = project(tmp_path / "dist", code)
    limit = ("--timeout", "6") if "stays" in name else ()
    status, found = check(str(folder), *limit)
    where = folder / "selfmoe_base_plain" / "__init__.py"
    assert (status, found["problem"]) == (1, [expected.format(where)])


def test_an_import_that_hangs_is_cut_off(check, tmp_path):
    folder = project(tmp_path / "dist", "import time\ntime.sleep(60)\n" + GOOD)
    status, found = check(str(folder), "--timeout", "4")
    expected = "base-plain was not done after 4 s, while it was imported"
    assert (status, found["problem"]) == (1, [expected])


def test_what_is_put_up_with_is_a_note(check, tmp_path):
    code = "print('hello')\nimport time\ntime.sleep(1.1)\n" + GOOD
    pyproject = PYPROJECT.replace('"selfmoe-base-plain"', '"plain"').replace("selfmoe>=0.1", "rich")
    status, found = check(str(project(tmp_path / "dist", code, pyproject)))
    assert (status, found["problem"]) == (0, [])
    requires, slow, prints, name = found["note"]
    assert requires == "plain does not require selfmoe"
    assert slow.startswith("base-plain takes 1.")
    assert prints == "base-plain prints when it is loaded: hello"
    assert name == "plain does not follow selfmoe-KIND-NAME"


def test_all_problems_are_told_at_once(check, tmp_path):
    code = GOOD.replace("SELFMOE_API", "API").replace('"""A base for tests."""', "")
    code += "\n@hookimpl\ndef register_router(): return []\n"
    pyproject = PYPROJECT.replace("points.selfmoe", "points.selfmoe-plugins").replace("0.1", "99")
    _, found = check(str(project(tmp_path / "dist", code, pyproject)))
    assert found["problem"] == [
        "the group of the entry points is 'selfmoe-plugins', selfmoe looks for 'selfmoe'",
        "needs selfmoe>=99, this is 0.1.0",
        "does not state SELFMOE_API = 1",
        "implements unknown hook 'register_router'; did you mean 'register_routers'?",
        "base 'plain' (Plain) has no docstring",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("[project.entry-points.selfmoe]\nbase-plain = ", "#"),
            "has no entry points of the group",
        ),
        (('name = "selfmoe-base-plain"', ""), "pyproject.toml names no project"),
        (("[project]", "[project"), "cannot be read"),
        (('version = "1.0"', 'requires-python = ">=4"'), "needs Python >=4"),
        (('version = "1.0"', 'requires-python = "new"'), "requires-python is 'new'"),
        (('"selfmoe_base_plain"', '"selfmoe_bas_plain"'), "No module named 'selfmoe_bas_plain'"),
    ],
)
def test_a_problem_of_the_declaration(change, expected, check, tmp_path):
    status, found = check(str(project(tmp_path / "dist", pyproject=PYPROJECT.replace(*change))))
    assert status == 1
    (problem,) = found["problem"]
    assert expected in problem


def test_a_file_and_a_package_are_checked_too(check, tmp_path):
    folder = project(tmp_path / "dist")
    (folder / "pyproject.toml").unlink()
    assert check(str(folder / "selfmoe_base_plain"))[0] == 0
    (folder / "selfmoe_plugin.py").write_text(GOOD)
    assert check(str(folder / "selfmoe_plugin.py"))[0] == 0
    assert check(str(folder))[0] == 0


def test_what_is_installed_is_checked_by_its_names(check, install, tmp_path, monkeypatch):
    install(tmp_path / "site", "plain", GOOD, requires="selfmoe>=99")
    monkeypatch.syspath_prepend(tmp_path / "site")
    for name in ("plain", "selfmoe-plain", "SelfMoE_Plain"):
        status, found = check(name)
        assert (status, found["problem"]) == (1, ["needs selfmoe>=99, this is 0.1.0"])


def test_an_installed_one_in_another_group(check, install, tmp_path, monkeypatch):
    install(tmp_path / "site", "plain", GOOD, group="selfmoe.bases")
    monkeypatch.syspath_prepend(tmp_path / "site")
    status, found = check("selfmoe-plain")
    expected = "the group of the entry points is 'selfmoe.bases', selfmoe looks for 'selfmoe'"
    assert (status, found["problem"]) == (1, [expected])
    assert "base 'plain': A base for tests" in found["ok"]


def test_others_that_end_the_process_are_not_blamed_on_it(check, install, tmp_path, monkeypatch):
    install(tmp_path / "site", "killer", "import os\nos._exit(1)")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("SELFMOE_PLUGINS", "killer")
    status, found = check(str(project(tmp_path / "dist")))
    expected = (
        "its names were not compared with those of other plugins: one of them ended the process"
    )
    assert (status, found["note"], found["problem"]) == (0, [expected], [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/folder", "no/such/folder does not exist; name a folder, a .py file, or what is"),
        ("base-seedlin", "no installed plugin named 'base-seedlin'; did you mean 'base-seedling'?"),
        (".", "is no plugin\n  Name a folder with a pyproject.toml, a package, a .py file, or a"),
    ],
)
def test_what_is_no_plugin_is_refused(name, message, cli):
    done = cli("check-plugin", name)
    assert done.exit_code == 1
    assert message in done.output


def test_secrets_stay_here(check, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    code = f"import os\nopen({str(tmp_path / 'seen')!r}, 'w').write(repr(dict(os.environ)))\n"
    check(str(project(tmp_path / "dist", code + GOOD)))
    seen: Any = (tmp_path / "seen").read_text()
    assert "PYTHONPATH" in seen
    assert "canary" not in seen
    assert os.environ["HF_TOKEN"] == "hf_canary"
