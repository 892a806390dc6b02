"""The keys of cells change with the code that fills them, and with no other code."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.pipeline.make import make_plans
from selfmoe.registry import code, syntax
from selfmoe.registry.registry import registry
from selfmoe.registry.syntax import parse

ENGINE = Path(str(selfmoe.__file__)).parent

Keys = Callable[..., dict[str, str]]

SETTINGS = {
    "domains": ["math"],
    "compose": {"mixse": {"router": "topk"}, "ties": {"merge": "ties"}},
}


def forget() -> None:
    for cached in (
        *(code.engine_hash, code.code_hash, code._file, code._imported, code._home),
        syntax.parsed,
    ):
        cached.cache_clear()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where what is parsed is kept, away from the engine's own files."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def keys(
    tiny_base_folder: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Keys]:
    """Return what plans a run as if files read otherwise: ``keys(change, "models/x.py")``.

    A change is a function of a file's text.
    """
    settings = {**SETTINGS, "base": str(tiny_base_folder), "out": str(tmp_path / "run")}
    monkeypatch.setattr(
        syntax, "cache_from_source", lambda path: str(kept / path.replace(os.sep, "-"))
    )

    def planned(change: Callable[[str], str] | None = None, *names: str) -> dict[str, str]:
        changed = {ENGINE / name for name in names}
        assert all(file.is_file() for file in changed)

        def read(file: Path) -> bytes:
            text = file.read_bytes()
            if change is None or file not in changed:
                return text
            other = change(text.decode()).encode()
            assert other != text
            return other

        forget()
        monkeypatch.setattr(syntax, "read", read)
        (plan,) = make_plans(resolve(settings))
        return {task.name: task.cell.key for task in plan.tasks}

    yield planned
    forget()


def more(text: str) -> str:
    """Return code that computes something else."""
    return f"{text}\nANOTHER = 1\n"


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def stages(names: set[str]) -> set[str]:
    return {name.partition(" ")[0] for name in names}


def remark(text: str) -> str:
    return "# a remark\n" + text.replace("\n\n\n", "\n\n\n# another\n\n")


def redocument(text: str) -> str:
    return text.replace('"""Return', '"""Yield, to say it otherwise, return')


def rewrap(text: str) -> str:
    return ast.unparse(ast.parse(text))


COMPUTING = [
    *("models/generation/drawing.py", "models/base.py", "models/fitting/loop.py"),
    *("mixture/forward/blocks.py", "kits/routers/learning.py", "evaluation/bridge.py"),
    *("contracts/records.py", "pipeline/few_shot.py", "pipeline/stages/s4_curate.py"),
]


@pytest.mark.parametrize("change", [remark, redocument, rewrap])
def test_comments_docstrings_and_layout_change_no_key(keys: Keys, change: Callable[[str], str]):
    files = [
        name
        for name in COMPUTING
        if change((ENGINE / name).read_text()) != (ENGINE / name).read_text()
    ]
    assert len(files) > 4
    assert changed(keys(), keys(change, *files)) == set()


def test_what_has_no_part_in_results_changes_no_key(keys: Keys) -> None:
    rooms = ("cli", "reporting", "api", "store", "registry", "config", "testing")
    names = [p.relative_to(ENGINE).as_posix() for r in rooms for p in (ENGINE / r).rglob("*.py")]
    plumbing = ["pipeline/plan.py", "pipeline/execute.py", "pipeline/make.py", "__init__.py"]
    assert changed(keys(), keys(more, *names, *plumbing)) == set()


MODEL = {"brainstorm", "respond", "curate", "specialise", "compose", "evaluate"}

REMADE = {
    "models/generation/drawing.py": MODEL,
    "models/generation/continuous.py": MODEL,
    "models/base.py": MODEL,
    "models/fitting/loop.py": {"specialise", "compose", "evaluate"},
    "pipeline/few_shot.py": MODEL,
    "pipeline/session.py": MODEL,
    "pipeline/task.py": {"seeds"} | MODEL,
    "pipeline/stages/s1_seeds.py": {"seeds"} | MODEL,
    "pipeline/stages/s3_respond.py": MODEL - {"brainstorm"},
    "pipeline/curation/overlap.py": {"curate", "specialise", "compose", "evaluate"},
    "kits/domains/procedural.py": {"seeds"} | MODEL,
    "kits/routers/learning.py": {"compose", "evaluate"},
    "kits/routers/gates.py": {"compose", "evaluate"},
    "mixture/forward/blocks.py": {"compose", "evaluate"},
    "mixture/runtime.py": {"compose", "evaluate"},
    "mixture/systems.py": {"evaluate"},
    "evaluation/bridge.py": {"evaluate"},
    "evaluation/harness.py": {"evaluate"},
    "evaluation/answers/numbers.py": {"seeds"} | MODEL,
    "contracts/records.py": {"seeds"} | MODEL,
}
"""A file of the engine and the stages that compute with it."""


@pytest.mark.parametrize("name", REMADE)
def test_code_changes_the_keys_of_what_computes_with_it(keys: Keys, name: str) -> None:
    assert stages(changed(keys(), keys(more, name))) == REMADE[name]


def test_the_forward_of_mixtures_has_no_part_in_the_scores_of_the_base(keys: Keys) -> None:
    before, names = keys(), ("mixture/forward/blocks.py", "mixture/systems.py")
    after = keys(more, *names)
    same = {name for name in before if name.startswith("evaluate base")}
    scored = {name for name in before if name.startswith("evaluate")}
    assert same and changed(before, after) & scored == scored - same


def test_a_router_has_no_part_in_merges(keys: Keys) -> None:
    after = keys(more, "kits/routers/learning.py")
    assert {name.split("/")[0] for name in changed(keys(), after)} == {
        "compose mixse",
        "evaluate mixse",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1  # one"),
        ('def f():\n    """Say."""\n    return 1', "def f():\n    return 1"),
        ('X = 1\n"""What X is."""', "X = 1"),
        ("f(a, b)", "f(\n    a,\n    b,\n)"),
        ("x = 'a'", 'x = ("a")'),
        ("if TYPE_CHECKING:\n    import a\nx = 1", "x = 1"),
    ],
)
def test_what_is_the_same(one: str, other: str) -> None:
    assert parse(one.encode()) == parse(other.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = a - b", "x = b - a"),
        ("f(a)(b)", "f(a, b)"),
        ("if a:\n    b\n    c", "if a:\n    b\nc"),
        ("def f(a, *, b): ...", "def f(a, b): ..."),
        ("x = ['a']", "x = 'a'"),
        ("if TYPE_CHECKING:\n    x = 1\nelse:\n    x = 2", "x = 1"),
    ],
)
def test_what_is_not(one: str, other: str) -> None:
    assert parse(one.encode()).digest != parse(other.encode()).digest


def test_imports_inside_functions_count_and_those_for_types_do_not() -> None:
    text = b"if TYPE_CHECKING:\n    import a\ndef f():\n    from ..b import c as d\n    import e.f"
    assert parse(text).imports == [("..b", "c"), ("e.f", None)]


def test_what_is_no_python_counts_by_its_bytes() -> None:
    assert parse(b"print 'a'").digest != parse(b"print 'a'  # one").digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a package that is imported."""
    folder = tmp_path / "identity_pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "part.py").write_text(
        "def f():\n    from selfmoe.kits.routers import SoftmaxRouter\n    return SoftmaxRouter\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    __import__("identity_pkg.part")
    yield folder
    for name in ("identity_pkg", "identity_pkg.part"):
        del sys.modules[name]
    forget()


def hash_now(plugins: frozenset[str] = frozenset()) -> str:
    forget()
    return code.code_hash("identity_pkg.part", plugins)


def test_a_remark_in_a_plugin_changes_nothing_and_its_data_does(package: Path) -> None:
    before = hash_now()
    (package / "part.py").write_text("# a remark\n" + (package / "part.py").read_text())
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "part.pyc").write_bytes(b"1")
    assert hash_now() == before
    (package / "tasks.txt").write_text("one")
    one = hash_now()
    (package / "tasks.txt").write_text("two")
    assert len({before, one, hash_now()}) == 3


def test_a_plugin_computes_with_the_homes_of_what_it_takes_from_a_face(package: Path) -> None:
    modules = code.closure(["identity_pkg.part"], frozenset({"identity_pkg", "selfmoe"}))
    assert {"selfmoe.kits.routers.softmax", "selfmoe.mixture.runtime"} <= set(modules)
    assert "selfmoe.kits.routers" not in modules
    assert "selfmoe.kits.domains.procedural" not in modules


def test_a_plugin_may_import_from_another(package: Path) -> None:
    registry()  # imports selfmoe_domain_math
    text = (package / "part.py").read_text()
    alone = hash_now(frozenset({"selfmoe_domain_math"}))
    (package / "part.py").write_text(text + "    from selfmoe_domain_math import mini\n")
    known = frozenset({"identity_pkg", "selfmoe_domain_math"})
    modules = code.closure(["identity_pkg.part"], known)
    assert alone != hash_now(known)
    forget()
    modules = code.closure(["identity_pkg.part"], known)
    assert "selfmoe_domain_math.mini" in modules and "selfmoe_domain_math.gsm8k" not in modules


def test_what_is_kept_of_a_file_is_kept_for_its_content(package: Path) -> None:
    before = hash_now()
    stat = (package / "part.py").stat()
    shutil.copy2(package / "part.py", package.parent / "part.py")
    (package / "part.py").write_text((package / "part.py").read_text().replace("f()", "g()"))
    os.utime(package / "part.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hash_now() != before
    shutil.copy2(package.parent / "part.py", package / "part.py")
    assert hash_now() == before
