"""The pages and their code blocks, and a run made by the quick start's own Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
TEXTS = {**PAGES, "README": (ROOT / "README.md").read_text("utf-8")}

SETTINGS = {
    "domains": ["anything", "whatever"],
    "seeds": {"n": 10},
    "brainstorm": {"n": 6, "max_new_tokens": 8, "batch_size": 6},
    "respond": {"max_new_tokens": 8, "samples": 1},
    "specialise": {"options": {"max_steps": 2, "lr": 0.01}},
    "compose": {"mixse": {"router": "topk"}, "instance": {"merge": "instance"}},
    "evaluate": {"limit": 2, "base_shots": 0, "benchmarks": ["anything/mini"]},
    "out": "runs/mine",
}


def blocks_of(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    """Return the text of every page by its name."""
    return PAGES


@pytest.fixture(scope="session")
def texts() -> dict[str, str]:
    """Return the text of every page and of the README."""
    return TEXTS


@pytest.fixture(scope="session")
def blocks() -> Callable[[str, str], list[str]]:
    """Return what finds the code blocks of one language in a text."""
    return blocks_of


@pytest.fixture(scope="session")
def quickstart_python(tmp_path_factory, tiny_base_folder, plugin_code) -> dict[str, Any]:
    """Return the names that the quick start's Python leaves behind, run on a tiny base."""
    folder = tmp_path_factory.mktemp("quickstart")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    settings = {**SETTINGS, "base": str(tiny_base_folder)}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    (source,) = [b for b in blocks_of(PAGES["quickstart"], "python") if "selfmoe.run(" in b]
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(source, "quickstart.md", "exec"), names)
        names["folder"] = folder / names["run"].path
    return names
