"""Generated parts of the documentation are what their makers make of the code now."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import ClassVar

import click
import pytest
from pydantic import Field, create_model

from _generate import (
    benchmarks,
    blocks,
    commands,
    contracts,
    failures,
    hooks,
    pictures,
    plugins,
    settings,
    tour,
)
from _generate.markdown import block, code, plain, table
from selfmoe import testing
from selfmoe.config.model import RunConfig
from selfmoe.contracts import errors, hookspecs
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.component import ComponentConfig
from selfmoe.contracts.composer import Merge
from selfmoe.registry.registry import OWN, Registry


@pytest.mark.parametrize("file", blocks.files())
def test_every_block_is_up_to_date(file):
    text = (blocks.ROOT / file).read_text("utf-8")
    assert blocks.updated(file) == text, "run: python docs/update.py"


@pytest.mark.parametrize("name", pictures.DRAWN)
def test_every_figure_is_up_to_date(name):
    assert pictures.mark(name) in pictures.path(name).read_text("utf-8"), "python docs/update.py"


def test_a_block_that_is_not_up_to_date_is_noticed(monkeypatch):
    monkeypatch.setitem(blocks.BLOCKS, ("docs/errors.md", "catalogue"), lambda: "other\n")
    text = (blocks.ROOT / "docs" / "errors.md").read_text("utf-8")
    assert blocks.updated("docs/errors.md") != text


# --- what is new in the code and not on the page is noticed ---------------------------------------


@pytest.fixture
def group():
    """Return a group with one command that has one option."""

    @click.group()
    def group() -> None:
        """Furniture."""

    @group.command()
    @click.option("--wax", help="How much of it.")
    def polish(wax: str) -> None:
        """Make it shine."""

    return group


def test_a_new_command_and_a_new_option_change_the_page(group):
    @click.command()
    def paint() -> None:
        """Make it red."""

    before = commands.reference(group)
    group.add_command(paint)
    group.commands["polish"].params.append(click.Option(["--cloth"], help="Which one."))
    assert "## `selfmoe polish`" in before
    assert "## `selfmoe paint`" not in before
    assert "--cloth" not in before
    assert "## `selfmoe paint`" in commands.reference(group)
    assert "| `--cloth TEXT` | Which one. |" in commands.reference(group)


def test_a_renamed_command_and_a_renamed_option_change_the_page(group):
    before = commands.reference(group)
    group.commands["polish"].params[0].opts[:] = ["--oil"]
    after = commands.reference(group)
    assert "`--wax TEXT`" in before
    assert "`--wax TEXT`" not in after
    assert "`--oil TEXT`" in after
    group.add_command(group.commands.pop("polish"), "rub")
    assert "## `selfmoe rub`" in commands.reference(group)
    assert "## `selfmoe polish`" not in commands.reference(group)


def test_a_command_and_an_option_without_help_are_refused(group):
    (option,) = group.commands["polish"].params
    option.help = None
    with pytest.raises(LookupError, match=r"selfmoe polish --wax TEXT is not documented"):
        commands.reference(group)
    option.help, group.commands["polish"].help = "How much of it.", None
    with pytest.raises(LookupError, match=r"selfmoe polish is not documented"):
        commands.reference(group)


def test_a_new_setting_changes_the_page():
    field = (int, Field(3, ge=1, lt=9, description="Coats of varnish."))
    changed = create_model("Changed", __base__=RunConfig, coats=field)
    row = "| `coats` | integer, ≥ 1, < 9 | `3` | Coats of varnish. |"
    assert row in settings.sections(changed)
    assert row not in settings.sections()


def test_a_renamed_setting_changes_the_page():
    fields = {
        "root_seed" if name == "seed" else name: (field.annotation, field)
        for name, field in RunConfig.model_fields.items()
    }
    renamed = settings.sections(create_model("Renamed", **fields))
    assert "| `root_seed` |" in renamed
    assert "| `seed` |" in settings.sections()
    assert "| `seed` |" not in renamed


def test_a_setting_without_a_description_is_refused():
    changed = create_model("Changed", __base__=RunConfig, coats=(int, 3))
    with pytest.raises(LookupError, match="the setting coats is not documented"):
        settings.sections(changed)


def registry_with(*classes: type[Merge]) -> Registry:
    module = ModuleType("varnish")
    module.SELFMOE_API = 1
    module.register_merges = hookspecs.hookimpl(lambda: classes)
    found = Registry()
    found.load("merge-varnish", OWN, "0", lambda: module)
    assert found.plugins[0].ok, found.plugins[0].reason
    return found


def test_a_new_component_and_its_presets_change_the_pages():
    class Varnish(Merge):
        """Makes everything shine."""

        name = "varnish"
        presets: ClassVar = {"paper": {"coats": 2}}

        class Config(ComponentConfig):
            """Options."""

            coats: int = Field(1, ge=1, description="How many.")

        def compose(self, ctx):
            raise NotImplementedError

    found = registry_with(Varnish)
    assert "| merge | `varnish` | Makes everything shine |" in plugins.installed(found)
    options = settings.components(found)
    assert "| key | values | default | paper | meaning |" in options
    assert "| `coats` | integer, ≥ 1 | `1` | `2` | How many. |" in options


@pytest.fixture
def more_hooks():
    """Return the hooks and one more."""

    @hookspecs.hookspec
    def register_varnishes(colour):
        """Return the varnishes. Since 9."""

    return SimpleNamespace(**vars(hookspecs), register_varnishes=register_varnishes)


def test_a_new_hook_changes_the_page(more_hooks):
    assert "`register_varnishes(colour)`" in hooks.overview(more_hooks)
    assert "Return the varnishes. Since 9." in hooks.overview(more_hooks)


def test_a_hook_without_example_and_an_example_without_hook_are_refused(more_hooks):
    with pytest.raises(LookupError, match=r"differ: register_varnishes$"):
        hooks.sections(more_hooks)
    fewer = SimpleNamespace(**{k: v for k, v in vars(hookspecs).items() if k != "register_bases"})
    with pytest.raises(LookupError, match=r"differ: register_bases$"):
        hooks.sections(fewer)


def test_a_renamed_hook_is_refused():
    hook = hookspecs.register_bases
    names = {("register_models" if v is hook else k): v for k, v in vars(hookspecs).items()}
    with pytest.raises(LookupError, match="register_bases, register_models"):
        hooks.sections(SimpleNamespace(**names))


def test_a_hook_without_docstring_is_refused(more_hooks):
    more_hooks.register_varnishes.__doc__ = None
    with pytest.raises(LookupError, match="register_varnishes is not documented"):
        hooks.overview(more_hooks)


def test_a_renamed_error_and_one_without_docstring_are_refused(monkeypatch):
    renamed = {("RunsError" if k == "RunError" else k): v for k, v in vars(errors).items()}
    renamed["RunsError"] = type("RunsError", (errors.SelfmoeError,), {})
    with pytest.raises(LookupError, match=r"differ: \['RunError', 'RunsError'\]"):
        failures.catalogue(SimpleNamespace(**renamed))
    monkeypatch.setattr(errors.RunError, "__doc__", None)
    with pytest.raises(LookupError, match="RunError is not documented"):
        failures.catalogue()


def test_an_error_without_entry_and_an_entry_without_error_are_refused():
    class ShineError(errors.SelfmoeError):
        """Too bright."""

    more = SimpleNamespace(**vars(errors), ShineError=ShineError)
    with pytest.raises(LookupError, match="ShineError"):
        failures.catalogue(more)
    fewer = SimpleNamespace(**{k: v for k, v in vars(errors).items() if k != "RunError"})
    with pytest.raises(LookupError, match="RunError"):
        failures.catalogue(fewer)


def test_an_example_of_an_error_must_end_in_it():
    with pytest.raises(LookupError, match="raises nothing"):
        failures.message(errors.DataError, lambda: None)

    def other() -> None:
        raise errors.RunError("no")

    with pytest.raises(LookupError, match="raises RunError"):
        failures.message(errors.DataError, other)


def test_a_module_without_a_place_in_the_tour_is_refused(tmp_path):
    for room in ("contracts", "varnish"):
        (tmp_path / "selfmoe" / room).mkdir(parents=True)
    (tmp_path / "selfmoe" / "contracts" / "errors.py").write_text('"""Errors."""\n')
    assert sum(map(len, tour.order(tmp_path).values())) == 1
    (tmp_path / "selfmoe" / "varnish" / "coat.py").write_text('"""A coat."""\n')
    with pytest.raises(LookupError, match=r"selfmoe/varnish/coat\.py"):
        tour.order(tmp_path)


def test_a_new_check_and_a_new_contract_are_noticed(monkeypatch):
    def test_shines(self):
        """It shines."""

    monkeypatch.setattr(testing.BaseContract, "test_shines", test_shines, raising=False)
    assert "| `shines` | It shines. |" in contracts.checks()
    monkeypatch.setattr(testing, "__all__", [*testing.__all__, "VarnishContract"])
    with pytest.raises(LookupError, match="VarnishContract"):
        contracts.checks()


def test_a_benchmark_without_source_and_licence_is_refused(monkeypatch):
    monkeypatch.delitem(benchmarks.SOURCES, "math/gsm8k")
    with pytest.raises(LookupError, match="math/gsm8k"):
        benchmarks.sections()


def test_a_lost_marker_is_refused():
    text = "a\n<!-- x: start -->\nold\n<!-- x: end -->\nb"
    assert blocks.replaced(text, "x", "new\n", "f") == text.replace("old", "new")
    for broken in (text.replace("start", "begin"), text.replace("end", "stop")):
        with pytest.raises(LookupError, match="f has no block 'x'"):
            blocks.replaced(broken, "x", "new\n", "f")


# --- the page itself ------------------------------------------------------------------------------


def test_the_tour_names_every_module_once_and_counts_its_lines():
    found = [path for paths in tour.order().values() for path in paths]
    assert len(found) == len(set(found)) == len(tour.modules())
    lines = len(
        (blocks.ROOT / "selfmoe" / "contracts" / "errors.py").read_text("utf-8").splitlines()
    )
    assert f"| `selfmoe/contracts/errors.py` | {lines} |" in tour.table_of_modules(counts=True)


@pytest.mark.parametrize("one", list(benchmarks.found()), ids=lambda one: one.identity)
def test_the_sample_data_is_read_as_documented(one):
    benchmark: Benchmark = one.benchmark
    if benchmark.needs_sandbox:
        from selfmoe.evaluation.sandbox import best_tier

        if best_tier() is None:
            pytest.skip("no sandbox here: generated code is not run")
    docs = benchmark.items[:2]
    assert docs
    for doc in docs:
        assert benchmark.score(doc, benchmark.gold(doc))["score"] == 1.0
        assert benchmark.score(doc, benchmark.wrong(doc))["score"] == 0.0


def test_text_is_not_taken_for_markup():
    assert plain("a_b *c* <d> [e] $f$") == r"a\_b \*c\* \<d> \[e] \$f\$"
    assert plain("``a_b`` and `c*d`") == "`a_b` and `c*d`"
    assert plain("see https://a.org/b_c.") == "see <https://a.org/b_c>."
    assert code("a`b") == "`` a`b ``"
    assert table(("a",), [("b | c\nd",)]) == "| a |\n|---|\n| b \\| c d |\n"
    assert block("text", "```\nx\n```").startswith("````text\n```")
