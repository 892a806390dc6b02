"""The examples of the pages are what they are shown as: a distribution, a plugin, a run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from _generate import blocks as generated
from _generate import quotes
from selfmoe.cli.new_plugin.writing import new_plugin
from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.registry.discovery import import_file

ROWS = quotes.EXAMPLES / "selfmoe-domain-rows"
ROUTER = quotes.EXAMPLES / "own-router"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder with the tutorial's domain as pip leaves it there."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((ROWS / "pyproject.toml").read_text("utf-8"))["project"]
    (package,) = ROWS.glob("selfmoe_*")
    shutil.copytree(package, folder / package.name)
    metadata = folder / f"{package.name}-{project['version']}.dist-info"
    metadata.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    needs = "".join(f"Requires-Dist: {one}\n" for one in project["dependencies"])
    (metadata / "METADATA").write_text(head + needs)
    points = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["selfmoe"].items())
    (metadata / "entry_points.txt").write_text(f"[selfmoe]\n{points}")
    return folder


def rows(text: str) -> list[list[str]]:
    """Return the cells of the rows of a printed table."""
    return [
        [cell.strip() for cell in line.strip("│ ").split("│")]
        for line in text.splitlines()
        if line.startswith("│")
    ]


def test_the_example_is_listed_as_the_tutorial_shows(site, command, pages, blocks):
    shown = [row for block in blocks(pages["tutorial"], "text") for row in rows(block)]
    row = next(row for row in shown if "selfmoe-domain-rows" in row)
    arguments = ("list-plugins", "--kind", "domain")
    assert row in rows(command(*arguments, paths=(site,), COLUMNS="200").stdout)
    assert row not in rows(command(*arguments, COLUMNS="200").stdout)


def test_check_plugin_says_what_the_tutorial_shows(cli, monkeypatch, pages, blocks):
    monkeypatch.setenv("SELFMOE_PLUGINS", "base-seedling")
    done = cli("check-plugin", str(ROWS))
    assert done.output.splitlines()[-1] + "\n" in blocks(pages["tutorial"], "text")


def test_the_tests_on_the_pages_pass(site, pages, blocks, environment, tmp_path):
    (source,) = [b for b in blocks(pages["own-router"], "python") if "ComposerContract" in b]
    shutil.copytree(ROWS / "tests", tmp_path / "tests")
    shutil.copy(ROUTER / "selfmoe_plugin.py", tmp_path)
    (tmp_path / "test_router.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib"]
    command += ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'temporary'}", str(tmp_path)]
    done = subprocess.run(
        command,
        env=environment(site, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    told = done.stdout.splitlines()[0]
    assert told.count(".") > 40, told


def test_whoever_follows_the_tutorial_has_the_example(tmp_path, pages, blocks):
    new_plugin("domain", "rows", tmp_path)
    written = tmp_path / ROWS.name
    families, module, contract, more = blocks(pages["tutorial"], "python")
    assert (written / "tests" / "test_contract.py").read_text("utf-8") == contract
    (written / "selfmoe_domain_rows" / "families.py").write_text(families)
    (written / "selfmoe_domain_rows" / "__init__.py").write_text(module)
    (written / "tests" / "test_rows.py").write_text(more)
    assert contents(written) == contents(ROWS)


def contents(folder: Path) -> dict[str, str]:
    """Return a folder's files by their names, without what marks parts of them."""
    return {
        path.relative_to(folder).as_posix(): quotes.without_marks(path.read_text("utf-8"))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }


# --- a router of its own --------------------------------------------------------------------------


def lines_of_code(source: str) -> int:
    """Return how many lines of a source are neither empty nor a docstring of one line."""
    lines = [line.strip() for line in source.splitlines()]
    return sum(bool(line) and not line.startswith(('"""', "#")) for line in lines)


def test_the_router_has_20_lines():
    assert lines_of_code('"""Doc."""\n\nx = 1\n# why\ny = 2\n') == 2
    assert lines_of_code((ROUTER / "selfmoe_plugin.py").read_text("utf-8")) <= 20


def test_the_router_keeps_what_is_at_least_as_probable_as_by_chance():
    router = import_file(ROUTER / "selfmoe_plugin.py").AboveChance()
    options = router.Config()
    gate = router.softmax_gate(options, {"theta": torch.zeros(3, 4)})
    probabilities = torch.tensor([[0.5, 0.35, 0.15], [0.9, 0.05, 0.05]])
    kept = torch.tensor([[0.5, 0.35, 0.0], [0.9, 0.0, 0.0]])
    assert torch.equal(gate.keep(probabilities), kept)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    tensors = {"theta": torch.randn(3, 4, generator=torch.Generator().manual_seed(1))}
    gate = router.softmax_gate(router.Config(weight="one"), tensors)
    assert torch.allclose(gate(x, Site(0), TokenInfo()).sum(-1), torch.ones(2, 5))


def test_the_router_takes_part_in_a_run(toy_run):
    run = toy_run(import_file(ROUTER / "selfmoe_plugin.py"))
    assert "router-above-chance" in [system.name for system in run.results.systems]


def test_the_routers_run_file_is_understood(cli, tmp_path):
    for path in ROUTER.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    shown = cli("run", "run.yaml", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert "mine" in shown.stdout


# --- what the pages quote -------------------------------------------------------------------------


def test_an_example_that_was_changed_is_noticed(tmp_path, monkeypatch):
    page = (generated.ROOT / "docs" / "tutorial.md").read_text("utf-8")
    shutil.copytree(quotes.EXAMPLES, tmp_path / "examples")
    monkeypatch.setattr(quotes, "EXAMPLES", tmp_path / "examples")
    assert generated.updated("docs/tutorial.md") == page
    families = tmp_path / "examples" / ROWS.name / "selfmoe_domain_rows" / "families.py"
    families.write_text(families.read_text("utf-8").replace("rng.randint(1, 60)", "1"))
    assert generated.updated("docs/tutorial.md") != page


def test_marks_are_not_shown_and_a_lost_one_is_refused():
    text = "a\n\n\n# -- start x --\nb\n\n\n# -- end x --\n\n\nc\n"
    assert quotes.without_marks(text) == "a\n\n\nb\n\n\nc\n"
    assert quotes.between(text, "x", "f") == "b\n\n\n"
    for broken in (text.replace("start", "begin"), text.replace("end", "stop")):
        with pytest.raises(LookupError, match="f has no part 'x'"):
            quotes.between(broken, "x", "f")
