"""What the pages say by hand is complete: nothing public is missing, nothing named is gone."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import selfmoe
import selfmoe.testing
from _generate.benchmarks import found as benchmarks
from _generate.failures import classes
from _generate.plugins import own
from selfmoe import contracts as components
from selfmoe.cli.app import COMMANDS
from selfmoe.config.model import RunConfig
from selfmoe.pipeline import stages
from selfmoe.pipeline.curation.overlap import LONG, SHORT
from selfmoe.registry.registry import KINDS, registry

ROOT = Path(__file__).parents[2]
CODE = [
    path for f in ("selfmoe", "domains", "routers", "plugins") for path in (ROOT / f).rglob("*.py")
]


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def documented(text: str, module: str) -> set[str]:
    """Return the names that a page documents from one module, by its directives."""
    found, current = set(), ""
    for line in text.splitlines():
        if match := re.match(r"\.\. module:: (\S+)", line):
            current = match[1]
        elif (
            match := re.match(r"\.\. (?:auto|py:)\w+:: (\w+)(?!\.)\b", line)
        ) and current == module:
            found.add(match[1])
    return found


def undescribed(module: ModuleType, page: str) -> list[str]:
    """Return the public names of a module that a page lacks, has too many, or cannot describe."""
    public = set(module.__all__)
    bare = {
        name
        for name in public
        if callable(getattr(module, name)) and not (getattr(module, name).__doc__ or "").strip()
    }
    return sorted((public ^ documented(page, module.__name__)) | bare)


@pytest.mark.parametrize("module", [selfmoe, selfmoe.testing], ids=lambda m: m.__name__)
def test_every_public_name_is_documented(pages, module):
    assert undescribed(module, pages["python-api"]) == []


def test_the_check_on_public_names_notices(pages):
    page = pages["python-api"]

    def changed(**names: object) -> list[str]:
        kept = {name: getattr(selfmoe, name) for name in selfmoe.__all__} | names
        kept = {name: value for name, value in kept.items() if value is not None}
        module = SimpleNamespace(__name__="selfmoe", __all__=list(kept), **kept)
        return undescribed(module, page)

    assert changed() == []
    assert changed(polish=selfmoe.load) == ["polish"]  # added
    assert changed(load=None, load_system=selfmoe.load) == ["load", "load_system"]  # renamed
    assert changed(load=lambda: None) == ["load"]  # without a docstring
    page = page.replace(".. autofunction:: load\n", "")
    assert changed() == ["load"]  # not on the page


def test_every_kind_of_component_is_documented(pages):
    found = documented(pages["plugins"], "selfmoe.contracts")
    assert {base.__name__ for _, base in KINDS.values()} <= found
    assert all(hasattr(components, name) for name in found)


def test_the_pipeline_has_a_section_a_stage_in_order(pages):
    found = [h.partition(" ")[2] for h in headings(pages["pipeline"]) if re.match(r"\d\. ", h)]
    names = [stage.__name__.rpartition("_")[2].capitalize() for stage in stages.STAGES]
    assert found == [*names, "Report"]


@pytest.mark.parametrize("kind", ["router", "merge"])
def test_the_pipeline_has_a_section_a_composer(pages, kind):
    found = " ".join(headings(pages["pipeline"]))
    for entry in own(kind):
        assert f"`{entry.cls.name}`" in found, f"describe {kind} {entry.cls.name} in pipeline.md"


def test_the_numbers_of_the_pipeline_are_those_of_the_code(pages):
    page = " ".join(pages["pipeline"].split())
    settings, router = RunConfig(), registry().get("router", "topk").Config()
    for text in (
        rf"T = {settings.brainstorm.temperature:g},\ p = {settings.brainstorm.top_p}",
        rf"\mathcal{{N}}(0, {router.init_std}^2)",
        f"any run of {LONG} words",
        f"runs of {SHORT} words",
        f"({components.Domain.near_duplicate}; 1, so exact only",
        f"the {100 * settings.report.confidence:.0f} % Wilson interval",
    ):
        assert text in page
    assert router.train_k == "all"
    assert registry().get("router", "topk").presets["paper"]["train_k"] == "k"


def test_every_error_is_raised_somewhere():
    made = {
        node.func.id
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert {cls.__name__ for cls in classes()} <= made


def test_the_exit_codes_are_those_of_the_command_line(pages):
    table = pages["errors"].partition("## Exit codes")[2].partition("\n<!--")[0]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    tree = ast.parse((ROOT / "selfmoe" / "cli" / "app.py").read_text("utf-8"))
    ends = {
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("exit", "_exit")
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert ends
    assert listed == {0, 2} | ends  # 0 and 2 are click's own


def test_every_page_is_in_the_table_of_contents(pages):
    listed = set(re.findall(r"^([a-z0-9-]+)$", pages["index"], re.MULTILINE))
    assert set(pages) - {"index"} == listed


@pytest.mark.parametrize("name", ["log", "README"])
def test_files_that_are_named_exist(texts, name):
    for path in re.findall(r"`((?:results|tests|docs)/[\w./-]+)`", texts[name]):
        assert (ROOT / path).exists(), path


def test_the_security_page_has_every_tier():
    from selfmoe.evaluation.sandbox.tiers import TIERS, UNSAFE

    text = (ROOT / "SECURITY.md").read_text("utf-8")
    (header,) = [line for line in text.splitlines() if line.startswith("| | `")]
    assert tuple(re.findall(r"`(\w+)`", header)) == (*TIERS, UNSAFE)


STOCK_TASKS = {
    "bbh_cot_fewshot", "gsm8k_cot", "hellaswag", "humaneval", "mbpp", "minerva_math", "mmlu",
    "nq_open", "piqa", "triviaqa", "truthfulqa_mc2",
}  # fmt: skip
"""Names of lm-eval's tasks that benchmarks are asked as; lm-eval takes long to list its own."""


@pytest.mark.parametrize("one", list(benchmarks()), ids=lambda one: one.identity)
def test_every_benchmark_says_how_it_differs_from_the_stock_task(one):
    if one.track != "mini":
        about = inspect.getdoc(type(one.benchmark)) or ""
        (task,) = re.findall(r"^Differs from lm-eval's `+(\w+)`+: \S", about, re.MULTILINE)
        assert task in STOCK_TASKS


def variables(code: str) -> set[str]:
    """Return the environment variables that some code names."""
    not_read = {"SELFMOE_API", "SELFMOE_COMPLETE"}  # the latter is between a shell and click
    return set(re.findall(r"\bSELFMOE_[A-Z_]+\b", code)) - not_read


def test_every_environment_variable_is_documented(pages):
    listed = set(re.findall(r"^\| `(SELFMOE_[A-Z_]+)`", pages["config"], re.MULTILINE))
    assert variables("".join(path.read_text("utf-8") for path in CODE)) == listed


def test_the_check_on_variables_notices():
    assert variables('os.environ["SELFMOE_VARNISH_COATS"]') == {"SELFMOE_VARNISH_COATS"}


def test_the_changelog_names_what_a_user_can_ask_for():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unnamed = [name for name in COMMANDS if not re.search(rf"\b{name}\b", text)]
    unnamed += [e.cls.name for e in own() if not re.search(rf"\b{e.cls.name}\b", text)]
    shown = {one.benchmark.name.replace("-", "").lower() for one in benchmarks()} - {"mini"}
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    assert unnamed + [name for name in sorted(shown) if name not in plain] == []
