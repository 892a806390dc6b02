"""A part that fails does not take the rest down, and says what it was."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

import selfmoe
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import DataError, SelfmoeError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.benchmarks import benchmarks_of, check_items

BROKEN = '''

from selfmoe.contracts.component import ComponentConfig
from selfmoe.contracts.composer import Merge


class Broken(Merge):
    """Raises what no plugin should."""

    name = "broken"

    def compose(self, ctx):
        raise IndexError("list index out of range")


@hookimpl
def register_merges():
    return [Broken]
'''


def settings(folder: Path, base: Path, plugin: str, **more: object) -> selfmoe.RunConfig:
    (folder / "selfmoe_plugin.py").write_text(plugin)
    return selfmoe.RunConfig(
        base=str(base),
        plugin_dir=folder,
        domains=["anything"],
        out=folder / "run",
        seeds={"n": 5},
        brainstorm={"n": 8, "max_new_tokens": 8},
        respond={"max_new_tokens": 8},
        evaluate={"limit": 2, "base_shots": 0},
        **{"specialise": {"options": {"max_steps": 1}}, **more},
    )


def test_a_composer_that_raises_leaves_the_others_done(tmp_path, tiny_base_folder, plugin_code):
    compose = {"bad": {"merge": "broken"}, "ties": {"merge": "ties"}}
    config = settings(tmp_path, tiny_base_folder, plugin_code + BROKEN, compose=compose)
    with pytest.raises(SelfmoeError) as raised:
        selfmoe.run(config)
    message = str(raised.value)
    assert message.startswith("compose bad: IndexError: list index out of range\n")
    record = next((tmp_path / "run" / "work").rglob("error.txt"))
    assert str(record) in message
    assert "in compose" in record.read_text()
    results = json.loads((tmp_path / "run" / "report" / "results.json").read_text())
    scores = {system["name"]: system["scores"] for system in results["systems"]}
    assert scores["bad"] == {}
    assert scores["ties"]["anything/mini"]["n"] == 2
    model, _ = selfmoe.load(tmp_path / "run", "ties")
    assert model.mixture.composition.composer == "ties"


def test_learning_that_explodes_names_its_expert(tmp_path, tiny_base_folder, plugin_code):
    options = {"max_steps": 4, "lr": 1e30}
    config = settings(tmp_path, tiny_base_folder, plugin_code, specialise={"options": options})
    with pytest.raises(SelfmoeError, match=r"^specialise anything: .*loss nan.* in step 2"):
        selfmoe.run(config)
    assert not list((tmp_path / "run" / "experts").glob("*"))


class Named:
    """Stands in for a benchmark."""

    def __init__(self, name: str, ids: tuple[str, ...] = ("a", "b")) -> None:
        self.name, self.items = name, [{"id": identity} for identity in ids]


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ([Named("a/b")], r"calls a benchmark 'a/b'"),
        ([Named("[bold]x")], "calls a benchmark"),
        ([Named("b"), Named("b")], "two benchmarks called 'b'"),
    ],
)
def test_benchmarks_that_cannot_be_told_apart_are_refused(benchmarks, message):
    class Careless(Domain):
        """Names things badly."""

        name = "careless"

        def seeds(self, source, n, rng):
            return []

        def benchmarks(self, source):
            return benchmarks

    with pytest.raises(DataError, match=message):
        benchmarks_of(Careless(), Source())


@pytest.mark.parametrize(
    ("ids", "message"),
    [(("x", "x"), "two items 'x' in benchmark 'b'"), (("", "x"), "an item without id")],
)
def test_items_that_cannot_be_told_apart_are_refused(ids, message):
    with pytest.raises(DataError, match=message):
        check_items("careless", Named("b", ids))


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (["", "--raw"], "the prompt is empty"),
        (["x" * 3000], "the base reads 2048"),
        (["\udcff"], "not UTF-8"),
    ],
)
def test_prompts_that_cannot_be_read(tmp_path, tiny_base_folder, plugin_code, cli, prompt, message):
    selfmoe.run(
        settings(tmp_path, tiny_base_folder, plugin_code, compose={"ties": {"merge": "ties"}})
    )
    result = cli("generate", str(tmp_path / "run"), *prompt, "--system", "base")
    assert result.exit_code == 1
    assert textwrap.dedent(result.stderr).count("Error: ") == 1
    assert message in result.stderr
