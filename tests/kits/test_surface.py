"""Plugins import from declared faces and nowhere else; the names there are kept in a list."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from _generate import surface

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "selfmoe" / "cli" / "new_plugin" / "templates"
TESTS = ("selfmoe", "selfmoe.testing")
"""What tests of plugins may import besides."""

_LINE = re.compile(r"^\s*(?:from\s+(selfmoe(?:\.\w+)*)\s+import|import\s+(selfmoe(?:\.\w+)*))\b")


def plugins() -> list[Path]:
    """Return the files of everything that is a plugin or teaches how to write one."""
    folders = [ROOT / name for name in ("domains", "routers", "plugins", "docs/examples")]
    code = [file for folder in folders for file in folder.rglob("*.py")]
    return sorted([*code, *TEMPLATES.rglob("*.jinja")])


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and module of everything that a file imports of selfmoe."""
    text = file.read_text("utf-8")
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            yield from ((node.lineno, n) for n in names if n.partition(".")[0] == "selfmoe")
    else:
        for number, line in enumerate(text.splitlines(), start=1):
            if found := _LINE.match(line):
                yield number, found[1] or found[2]


def is_test(file: Path) -> bool:
    return "tests" in file.relative_to(ROOT).parts


def test_plugins_import_contracts_and_kits_and_nothing_else() -> None:
    files = plugins()
    assert len(files) > 100
    strays = [
        f"{file.relative_to(ROOT)}:{line}: {module}"
        for file in files
        for line, module in imports(file)
        if module not in (*surface.FACES, *(TESTS if is_test(file) else ()))
    ]
    assert not strays, f"import these from {', '.join(surface.FACES)}:\n" + "\n".join(strays)


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from selfmoe.mixture.runtime import attach", "selfmoe.mixture.runtime"),
        ("def f():\n    import selfmoe.store.files", "selfmoe.store.files"),
        ("import selfmoe_router_topk\nfrom selfmoe.contracts import Seed", "selfmoe.contracts"),
    ],
)
@pytest.mark.parametrize("suffix", [".py", ".jinja"])
def test_every_import_is_seen(line: str, module: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"plugin{suffix}"
    file.write_text(line)
    assert [found for _, found in imports(file)] == [module]


def test_a_file_needs_the_contracts_and_one_kit() -> None:
    for file in plugins():
        found = {module for _, module in imports(file)} - {*TESTS}
        assert len(found) <= 2, f"{file.relative_to(ROOT)} imports {', '.join(sorted(found))}"


# --- the names ------------------------------------------------------------------------------------


def test_names_and_signatures_are_those_of_the_list() -> None:
    kept = (ROOT / surface.FILE).read_text("utf-8")
    changes = difflib.unified_diff(
        kept.splitlines(), surface.frozen().splitlines(), surface.FILE, "the code", lineterm="", n=1
    )
    shown = "\n".join(changes)
    assert not shown, f"if plugins are meant to see this: python docs/update.py\n{shown}"


def test_no_name_is_on_two_faces() -> None:
    names = Counter(n for face in surface.FACES for n in importlib.import_module(face).__all__)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("face", surface.FACES)
def test_a_name_is_not_that_of_a_module_beside_it(face: str) -> None:
    module = importlib.import_module(face)
    files = {file.stem for file in Path(str(module.__file__)).parent.glob("*.py")}
    assert not files & set(module.__all__)


@pytest.mark.parametrize(
    ("line", "spared"),
    [
        ("from selfmoe.kits.domains import letter", ("sandbox", "mathverify", "code")),
        ("from selfmoe.kits.domains import MiniDomain, Family", ("sandbox", "mathverify")),
        ("from selfmoe.kits.domains import locate, hub_rows", ("sandbox", "answers")),
        ("from selfmoe.kits.routers import LearnedRouter, UntrainedRouter", ()),
        ("from selfmoe.kits.routers import TopKConfig, check_extends, newcomers", ()),
    ],
)
def test_a_name_brings_what_it_needs_and_no_more(line: str, spared: tuple[str, ...]) -> None:
    code = f"{line}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "selfmoe.contracts" in loaded, done.stderr
    assert not loaded & {"torch", "transformers", "peft", "datasets", "lm_eval"}
    assert not loaded & {f"selfmoe.evaluation.{name}" for name in spared}
