"""What ``new-plugin`` writes installs, is listed, passes its tests and runs, without an edit."""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import re
import shutil
import subprocess
import sys

import pytest

from selfmoe.cli.new_plugin.writing import Names, new_plugin

KINDS = ("base", "domain", "trainer", "router", "merge")
RUN = """
base: new-base
device: cpu
domains: [new-domain, math]
out: run
seeds: {n: 12}
brainstorm: {n: 12, max_new_tokens: 48, batch_size: 12}
respond: {max_new_tokens: 32, batch_size: 12}
specialise: {trainer: new-trainer, options: {max_steps: 2, r: 2}}
compose:
  routed: {router: new-router, options: {max_steps: 1}}
  merged: {merge: new-merge}
evaluate: {limit: 2, base_shots: 0}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder with a plugin of each kind, as written."""
    folder = tmp_path_factory.mktemp("written")
    for kind in KINDS:
        new_plugin(kind, f"new-{kind}", folder)
    return folder


@pytest.fixture(scope="module")
def site(written, tmp_path_factory, environment):
    """Return a folder that pip has installed them all to."""
    for needed in ("pip", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install {needed}")
    folder = tmp_path_factory.mktemp("site")
    copies = shutil.copytree(written, folder / "sources")  # setuptools builds in the sources
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(folder / "site")]
    done = subprocess.run(
        [*command, *sorted(map(str, copies.iterdir()))],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_all_are_listed(site, command):
    done = command("list-plugins", "--json", paths=(site,))
    rows = {(row["kind"], row["name"]): row for row in json.loads(done.stdout)}
    for kind in KINDS:
        row = rows[kind, f"new-{kind}"]
        assert (row["status"], row["version"]) == ("ok", "0.1.0")
        assert row["distribution"] == f"selfmoe-{kind}-new-{kind}"


def test_their_own_tests_pass(site, written, environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"]
        + [f"--basetemp={tmp_path / 'temporary'}"]
        + [str(folder / "tests") for folder in sorted(written.iterdir())],
        env=environment(site),
        cwd=written,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "failed" not in done.stdout


def test_all_take_part_in_one_run(site, command, tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    names = ",".join(f"{kind}-new-{kind}" for kind in KINDS)
    done = command("run", "run.yaml", paths=(site,), SELFMOE_PLUGINS=f"{names},domain-math")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "run" / "report" / "results.json").read_text())
    text = json.dumps(told)
    for system in ("base", "expert-new-domain", "routed", "merged"):
        assert f'"{system}"' in text
    manifest = (tmp_path / "run" / "manifest.json").read_text()
    assert all(f"new-{kind}" in manifest for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_check_plugin_has_nothing_to_say(kind, written, cli, monkeypatch):
    monkeypatch.setenv("SELFMOE_PLUGINS", "base-seedling")
    done = cli("check-plugin", str(written / f"selfmoe-{kind}-new-{kind}"))
    assert done.exit_code == 0
    assert done.output.endswith(f"selfmoe-{kind}-new-{kind} 0.1.0: ok\n")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_tidy(kind, written):
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed: pip install ruff")
    ruff = [sys.executable, "-m", "ruff"]
    check = ["--isolated", "--line-length=100", "--target-version=py311"]
    for command in (["check", "--select=E,F,I,B,UP,RET,SIM"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, *check, "."],
            cwd=written / f"selfmoe-{kind}-new-{kind}",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_written_problems_have_right_answers(written, monkeypatch):
    monkeypatch.syspath_prepend(written / "selfmoe-domain-new-domain")
    families = importlib.import_module("selfmoe_domain_new_domain.families").FAMILIES
    for family, right in zip(families, (sum, max), strict=True):
        for seed in range(50):
            problem = family.make(random.Random(seed))
            assert problem.answer == str(right(map(int, re.findall(r"\d+", problem.input))))


def test_the_command_says_what_to_do_next(cli, tmp_path):
    done = cli("new-plugin", "router", "nearest", "--out", "my plugins")
    assert done.exit_code == 0
    assert (tmp_path / "my plugins" / "selfmoe-router-nearest" / "pyproject.toml").is_file()
    lines = [line.strip() for line in done.output.splitlines()]
    assert "cd 'my plugins/selfmoe-router-nearest'" in lines
    assert "selfmoe run --set compose.mine.router=nearest" in lines
    assert [path.name for path in (tmp_path / "my plugins").iterdir()] == ["selfmoe-router-nearest"]


@pytest.mark.parametrize(
    ("kind", "name", "package", "cls"),
    [
        ("router", "none", "selfmoe_router_none", "NoneRouter"),
        ("router", "class", "selfmoe_router_class", "ClassRouter"),
        ("router", "router", "selfmoe_router_router", "RouterRouter"),
        ("domain", "math-v2", "selfmoe_domain_math_v2", "MathV2Domain"),
        ("merge", "a_b", "selfmoe_merge_a_b", "ABMerge"),
        ("trainer", "2d", "selfmoe_trainer_2d", "Trainer2d"),
    ],
)
def test_any_name_gives_names_of_python(kind, name, package, cls, tmp_path):
    assert (Names(kind, name).package, Names(kind, name).cls) == (package, cls)
    folder, _ = new_plugin(kind, name, tmp_path)
    for file in folder.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")


def test_a_base_can_start_from_another_model(tiny_base_folder, tmp_path):
    folder, _ = new_plugin("base", "small", tmp_path, tiny_base_folder)
    weights = folder / "selfmoe_base_small" / "weights"
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (weights / name).read_bytes() == (tiny_base_folder / name).read_bytes()
    assert 'preset = "paper"' in (folder / "selfmoe_base_small" / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("domain", "Math!"), "'Math!' cannot be the name of a domain; use up to 64 lower-case"),
        (("domain", "x-"), "'x-' cannot be the name of a domain"),
        (("domain", "math"), "domain 'math' is already provided by selfmoe 0.1.0; choose another"),
        (("domain", "here"), "selfmoe-domain-here exists; choose another name, or another place"),
        (("domain", "x", "--model", "."), "a domain takes no model; leave --model out"),
        (("base", "x", "--model", "."), "holds no model"),
        (("domain", "x", "--out", "file/below"), "cannot write file/below/selfmoe-domain-x"),
    ],
)
def test_what_is_refused(arguments, message, cli, tmp_path):
    (tmp_path / "selfmoe-domain-here").mkdir()
    (tmp_path / "file").touch()
    done = cli("new-plugin", *arguments)
    assert done.exit_code == 1
    assert message in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"file", "selfmoe-domain-here"}


def test_a_package_that_is_there_is_not_shadowed(cli, tmp_path, monkeypatch):
    (tmp_path / "selfmoe_merge_spare").mkdir()
    (tmp_path / "selfmoe_merge_spare" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    done = cli("new-plugin", "merge", "spare")
    assert done.exit_code == 1
    assert "there is a package selfmoe_merge_spare" in done.output
