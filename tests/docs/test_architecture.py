"""The walks of docs/architecture.md are as long as they should be, and what they name is there."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
STEP = re.compile(r"^\| `(\S+\.py)` \| `(\w+)` \|", re.MULTILINE)
WALKS = {
    title: STEP.findall(text)
    for title, text in (part.split("\n", 1) for part in PAGE.split("\n### ")[1:])
}


@pytest.mark.parametrize(("title", "files"), [("A setting", 5), ("An adapter", 7), ("A bench", 7)])
def test_walks_pass_so_many_files(title: str, files: int) -> None:
    [walk] = [steps for heading, steps in WALKS.items() if heading.startswith(title)]
    assert len(walk) == len(dict(walk)) == files


@pytest.mark.parametrize("step", [step for walk in WALKS.values() for step in walk], ids="/".join)
def test_every_step_is_there(step: tuple[str, str]) -> None:
    file, name = step
    kinds = (ast.FunctionDef, ast.ClassDef)
    nodes = ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
    assert name in {node.name for node in nodes if isinstance(node, kinds)}


def test_rooms_stand_in_the_order_that_is_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [layers, _] = settings["tool"]["importlinter"]["contracts"]
    assert re.findall(r"^\| `(\w+)/` \|", PAGE, re.MULTILINE) == layers["layers"][1:]
