"""Plugins of others, good and broken, as distributions on the path; names and provenance."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from selfmoe.cli.app import COMMANDS
from selfmoe.contracts.errors import UnknownNameError
from selfmoe.registry import hooks
from selfmoe.registry.code import code_hash
from selfmoe.registry.inspection import KINDS, inspect_plugin
from selfmoe.registry.moved import HOMES, new_home
from selfmoe.registry.registry import Registry, registry

GOOD = """
from selfmoe import hookimpl
from selfmoe.contracts.base import Base
SELFMOE_API = 1
class {cls}(Base):
    "A base for tests."
    name = "{name}"
    def path(self): return "."
@hookimpl
def register_bases(): return [{cls}]
"""
HEAD = "from selfmoe import hookimpl\nfrom selfmoe.contracts import Base\nSELFMOE_API = 1\n"

PLUGINS: Mapping[str, str] = {
    "good": GOOD.format(cls="Good", name="good"),
    "prints": "print('hello')\n" + GOOD.format(cls="Prints", name="prints"),
    "raises": "raise ImportError('no such thing')",
    "exits": "import sys; sys.exit(3)",
    "syntax": "def broken(:\n",
    "missing": "import a_module_that_nobody_has",
    "misspelt": GOOD.format(cls="Misspelt", name="misspelt").replace("_bases()", "_base()"),
    "arguments": GOOD.format(cls="Arguments", name="arguments").replace("_bases()", "_bases(x)"),
    "taken": GOOD.format(cls="Taken", name="seedling"),
    "no_api": GOOD.format(cls="NoApi", name="no-api").replace("SELFMOE_API", "OTHER"),
    "old_api": GOOD.format(cls="OldApi", name="old-api").replace("API = 1", "API = 0"),
    "new_api": GOOD.format(cls="NewApi", name="new-api").replace("API = 1", "API = 2"),
    "hook_raises": HEAD + "@hookimpl\ndef register_bases(): raise ValueError('out of bases')",
    "hook_none": HEAD + "@hookimpl\ndef register_bases(): pass",
    "no_class": HEAD + "@hookimpl\ndef register_bases(): return ['seedling']",
    "abstract": GOOD.format(cls="Abstract", name="abstract").replace("def path", "def road"),
    "bad_name": GOOD.format(cls="BadName", name="Bad:Name"),
    "nameless": GOOD.format(cls="Nameless", name="x").replace('    name = "x"\n', ""),
    "nothing": "SELFMOE_API = 1",
}

REASONS: Mapping[str, tuple[str, ...]] = {
    "raises": ("ImportError", "no such thing"),
    "exits": ("sys.exit(3)",),
    "syntax": ("SyntaxError", "line 1"),
    "missing": ("ModuleNotFoundError", "a_module_that_nobody_has"),
    "misspelt": ("unknown hook 'register_base'", "did you mean 'register_bases'?"),
    "arguments": ("register_bases", "'x'"),
    "taken": ("base 'seedling'", "already provided by selfmoe"),
    "no_api": ("does not state SELFMOE_API = 1",),
    "old_api": ("plugin API 0", "upgrade the plugin"),
    "new_api": ("plugin API 2", "upgrade selfmoe"),
    "hook_raises": ("out of bases",),
    "hook_none": ("register_bases returned None", "list of classes"),
    "no_class": ("'seedling'", "no subclass of Base"),
    "abstract": ("does not implement path",),
    "bad_name": ("'Bad:Name'", "lower-case letters"),
    "nameless": ("Nameless.name", "lower-case letters"),
    "nothing": ("registers nothing",),
}

Row = dict[str, str]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
Environment = Callable[..., dict[str, str]]


def install(folder: Path, name: str, code: str, *, point: str = "", distribution: str = "") -> Path:
    """Put a distribution with one entry point into ``folder``, as pip would leave it."""
    distribution = distribution or f"selfmoe-{name}".replace("_", "-")
    module = f"plugin_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    metadata = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
    )
    (metadata / "entry_points.txt").write_text(f"[selfmoe]\n{point or name} = {module}\n")
    return metadata


def listed(done: subprocess.CompletedProcess[str]) -> list[Row]:
    assert done.returncode == 0, done.stderr
    rows: list[Row] = json.loads(done.stdout)
    return rows


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all those distributions."""
    folder = tmp_path_factory.mktemp("site")
    for name, code in PLUGINS.items():
        install(folder, name, code)
    return folder


@pytest.fixture(scope="module")
def rows(site: Path, environment: Environment) -> list[Row]:
    """Return what ``list-plugins --json`` shows with all of them installed."""
    done = subprocess.run(
        [sys.executable, "-m", "selfmoe", "list-plugins", "--json"],
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return listed(done)


@pytest.mark.parametrize("name", REASONS)
def test_a_broken_plugin_is_shown_with_its_reason(name: str, rows: list[Row]) -> None:
    (row,) = [row for row in rows if row["plugin"] == name]
    assert row["status"] == "broken"
    assert row["distribution"] == f"selfmoe-{name}".replace("_", "-")
    assert row["version"] == "1.2"
    assert "\n" not in row["reason"]
    for part in REASONS[name]:
        assert part in row["reason"]


def test_good_plugins_work_beside_broken_ones(rows: list[Row]) -> None:
    ok = {(row["kind"], row["name"]): row for row in rows if row["status"] == "ok"}
    for name in ("good", "prints"):
        assert ok["base", name]["distribution"] == f"selfmoe-{name}"
        assert ok["base", name]["summary"] == "A base for tests"
    assert ok["base", "seedling"]["distribution"] == "selfmoe"
    for kind, name in (("domain", "math"), ("trainer", "lora"), ("router", "topk")):
        assert ok[kind, name]["distribution"] == "selfmoe"
    assert {row["plugin"] for row in rows if row["status"] == "broken"} == set(REASONS)


def test_a_run_is_planned_beside_broken_plugins(site: Path, command: Command) -> None:
    done = command("run", "--dry-run", "--out", "x", paths=(site,))
    assert done.returncode == 0, done.stderr
    assert "seeds" in done.stdout


def test_the_table_shows_broken_plugins(site: Path, command: Command) -> None:
    done = command("list-plugins", "--kind", "router", paths=(site,), COLUMNS="200")
    assert done.returncode == 0
    assert "topk" in done.stdout
    assert "seedling │" not in done.stdout
    assert "did you mean" in done.stdout


def test_two_others_with_one_name(tmp_path: Path, command: Command) -> None:
    install(tmp_path / "site", "first", GOOD.format(cls="A", name="twin"))
    install(tmp_path / "site", "second", GOOD.format(cls="B", name="twin"))
    rows = listed(command("list-plugins", "--json", paths=(tmp_path / "site",)))
    (broken,) = [row for row in rows if row["status"] == "broken"]
    assert broken["plugin"] == "second"
    assert "base 'twin' is already provided by selfmoe-first 1.2" in broken["reason"]


def test_two_distributions_may_name_their_entry_points_alike(
    tmp_path: Path, command: Command
) -> None:
    code = GOOD.format(cls="Good", name="other")
    install(tmp_path / "site", "other", code, point="domain-math")
    rows = listed(command("list-plugins", "--json", paths=(tmp_path / "site",)))
    assert not [row for row in rows if row["status"] == "broken"]
    assert {"math", "other"} <= {row["name"] for row in rows}


def test_a_distribution_without_metadata_takes_nobody_down(
    tmp_path: Path, command: Command
) -> None:
    site = tmp_path / "site"
    metadata = install(site, "damaged", GOOD.format(cls="Damaged", name="damaged"))
    (metadata / "METADATA").unlink()
    install(site, "good", GOOD.format(cls="Good", name="good"))
    rows = listed(command("list-plugins", "--json", paths=(site,)))
    assert {"good", "math"} <= {row["name"] for row in rows if row["status"] == "ok"}


def test_the_environment_limits_what_is_loaded(site: Path, command: Command) -> None:
    done = command(
        "list-plugins", "--json", paths=(site,), SELFMOE_PLUGINS="good, domain-math,exits"
    )
    rows = listed(done)
    assert {(row["plugin"], row["status"]) for row in rows} == {
        ("good", "ok"),
        ("domain-math", "ok"),
        ("exits", "broken"),
    }


# --- a plugin beside the run file -----------------------------------------------------------------

LOCAL = GOOD.format(cls="Local", name="local-base")


def test_a_plugin_beside_the_run_file(tmp_path: Path, command: Command) -> None:
    (tmp_path / "run.yaml").write_text("base: local-base\n")
    (tmp_path / "selfmoe_plugin.py").write_text(LOCAL)
    done = command("run", str(tmp_path / "run.yaml"), "--dry-run")
    assert done.returncode == 1
    assert "base 'local-base': . holds no model" in done.stderr


def test_a_broken_plugin_beside_the_run_file_is_named(tmp_path: Path, command: Command) -> None:
    (tmp_path / "run.yaml").write_text("domains: [mine]\n")
    (tmp_path / "selfmoe_plugin.py").write_text("import a_module_that_nobody_has")
    done = command("run", str(tmp_path / "run.yaml"), "--dry-run")
    assert done.returncode == 1
    assert "no domain named 'mine'" in done.stderr
    assert "selfmoe_plugin.py" in done.stderr
    assert "a_module_that_nobody_has" in done.stderr


def test_two_run_files_with_plugins_in_one_process(tmp_path: Path) -> None:
    for name, code in (("a", "NUMBER = 1"), ("b", "NUMBER = 2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "selfmoe_plugin.py").write_text(LOCAL + code)
    a, b = registry(tmp_path / "a"), registry(tmp_path / "b")
    assert a.identity("base", "local-base")["code"] != b.identity("base", "local-base")["code"]
    assert a.get("base", "local-base") is not b.get("base", "local-base")


# --- what pluggy checks ---------------------------------------------------------------------------


def test_all_hooks_are_those_of_the_specifications() -> None:
    assert hooks.names() == [hook for hook, _ in KINDS.values()]
    assert all(getattr(hooks.manager().hook, name).has_spec() for name in hooks.names())


def test_what_is_wrong_with_one_hook_does_not_hide_the_others() -> None:
    def module(code: str) -> Any:
        exec(code, vars(made := ModuleType("several")))
        return made

    code = GOOD.format(cls="Good", name="good")
    for wrong in ("def register_base(): pass", "def register_domains(x, y): return []"):
        code += f"\n@hookimpl\n{wrong}\n"
    code += "@hookimpl\ndef register_merges(): raise ValueError('out of merges')\n"
    found = inspect_plugin(module(code))
    assert [cls.name for _, cls in found.components] == ["good"]
    assert [problem.text for problem in found.problems] == [
        "implements unknown hook 'register_base'; did you mean 'register_bases'?",
        "register_domains takes 'x', 'y', but the hook passes no arguments",
        "register_merges failed: ValueError: out of merges",
    ]
    assert found.problems[1].advice == "Write: def register_domains():"


def test_pluggys_options_of_a_hook_hold() -> None:
    code = GOOD.format(cls="Good", name="good").replace("@hookimpl", "@hookimpl(specname='_')")
    code = code.replace("'_'", "'register_bases'").replace("register_bases()", "mine()")
    exec(code, vars(module := ModuleType("named")))
    assert [(kind, cls.name) for kind, cls in inspect_plugin(module).components] == [
        ("base", "good")
    ]


# --- plugins written for the paths of before ------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from selfmoe.records import Seed", "import it from selfmoe.contracts"),
        ("from selfmoe.components.domain import Domain", "import it from selfmoe.contracts"),
        ("import selfmoe.procedural", "import it from selfmoe.kits.domains"),
        ("from selfmoe.mixture.gating import LinearGate", "import it from selfmoe.kits.routers"),
    ],
)
def test_an_old_path_is_told_the_new_one(
    line: str, expected: str, tmp_path: Path, command: Command
) -> None:
    install(tmp_path / "site", "old", line)
    rows = listed(
        command("list-plugins", "--json", paths=(tmp_path / "site",), SELFMOE_PLUGINS="old")
    )
    assert [row["status"] for row in rows] == ["broken"]
    assert rows[0]["reason"].startswith("ModuleNotFoundError: No module named 'selfmoe.")
    assert expected in rows[0]["reason"]
    done = command("check-plugin", "old", "--json", paths=(tmp_path / "site",))
    advice = [finding["advice"] for finding in json.loads(done.stdout)["findings"]]
    assert expected in " ".join(advice).replace("Import", "import")


def test_a_run_with_an_old_plugin_beside_it_is_told_the_new_path(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "run.yaml").write_text("domains: [mine]\n")
    (tmp_path / "selfmoe_plugin.py").write_text("from selfmoe.mini import MiniDomain")
    done = command("run", str(tmp_path / "run.yaml"), "--dry-run")
    assert done.returncode == 1
    assert "import it from selfmoe.kits.domains" in " ".join(done.stderr.split())


@pytest.mark.parametrize("old", HOMES)
def test_old_paths_are_no_more_and_new_ones_are(old: str) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(old)
    home = new_home(caught.value)
    assert home == HOMES[old]
    for face in re.findall(r"selfmoe\.[a-z.]+[a-z]", home):
        assert importlib.import_module(face).__all__


# --- names and provenance -------------------------------------------------------------------------


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'ties'\?[\s\S]*Available: .*dare"):
        registry().get("merge", "tie")


def test_identity_changes_with_the_code_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    for name, code in (("one_pkg", "X = 1\n"), ("two_pkg", "X = 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "part.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        __import__(f"{name}.part")
        hashes.append(code_hash(f"{name}.part"))
    assert hashes[0] != hashes[1]


def test_a_plugin_inside_a_namespace_package_has_a_code_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_corp").mkdir()
    (tmp_path / "acme_corp" / "moe.py").write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("acme_corp.moe")
    assert len(code_hash("acme_corp.moe")) == 10


def test_a_hook_that_is_loaded_twice_is_asked_once() -> None:
    assert [plugin.name for plugin in Registry().plugins] == []
    names = [plugin.name for plugin in registry().plugins]
    assert len(names) == len(set(names))


# --- the command line starts without the heavy libraries ------------------------------------------

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "peft", "datasets", "lm_eval"}:
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Blocker())
sys.argv[0] = "selfmoe"
from selfmoe.cli import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["list-plugins", "--json"],
        *([name, "--help"] for name in COMMANDS),
        ["run", "--dry-run"],
    ],
    ids=" ".join,
)
def test_start_without_heavy_libraries(
    arguments: list[str], tmp_path: Path, environment: Environment
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "must not be imported" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
