"""Paths as users write them: ~ and environment variables, in settings, commands and Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

import selfmoe
from selfmoe.api.load import load
from selfmoe.api.run import complete, from_yaml
from selfmoe.cli.completing import runs
from selfmoe.config.layers import assign
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.component import ComponentConfig
from selfmoe.contracts.errors import CompositionError, ConfigError, RunError
from selfmoe.contracts.paths import expand, expand_base, written, written_base
from selfmoe.registry.options import validate
from selfmoe.registry.registry import registry


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Set HOME and two variables, and forget those that are not set; return the folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLACE", str(tmp_path / "place"))
    monkeypatch.setenv("TILDE", "~/tilde")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NO_SUCH", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def meant(places: Path) -> dict[str, Path]:
    """Return what a user writes -> what is meant."""
    return {
        "~/x": places / "home" / "x",
        "$HOME/x": places / "home" / "x",
        "${HOME}/x": places / "home" / "x",
        "$PLACE/x y/é": places / "place" / "x y" / "é",
        "${PLACE}x": places / "placex",
        "$TILDE": places / "home" / "tilde",
        "$PLACE/$$x": places / "place" / "$x",
        "~": places / "home",
        "a/b": Path("a/b"),
        "a~b/~": Path("a~b/~"),
        "./~x": Path("~x"),
        "a$$b": Path("a$b"),
    }


WRONG = {
    "$NO_SUCH/x": "the environment variable 'NO_SUCH' is not set",
    "${NO_SUCH}/x": "the environment variable 'NO_SUCH' is not set",
    "x/$EMPTY/y": "the environment variable 'EMPTY' is empty",
    "${NO_SUCH:-x}": "'${NO_SUCH:-x}' is no environment variable",
    "$1/x": "'$1' is no environment variable",
    "${}/x": "'${}' is no environment variable",
    "~no-such-user/x": "there is no user 'no-such-user'",
}


def test_what_is_meant(places):
    for text, path in meant(places).items():
        assert expand(text) == expand(written(path)) == path, text
    assert expand(Path("~/x")) == places / "home" / "x"


@pytest.mark.parametrize("text", WRONG)
def test_what_is_not_there_is_refused_by_name(text):
    with pytest.raises(ConfigError) as caught:
        expand(text)
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def settings_with(text: str) -> dict[str, dict]:
    """Return settings with a path in each place that may have one."""
    files = {"domain": "files", "options": {"seeds": text, "benchmark": text}}
    return {
        "data_dir": {"data_dir": text},
        "out": {"out": text},
        "adapters": {"adapters": {"law": text}},
        "respond.documents": {"respond": {"documents": text}},
        "respond.documents, by domain": {"respond": {"documents": {"math": text}}},
        "define.law.options": {"domains": ["math", "law"], "define": {"law": files}},
        "base": {"base": text},
    }


def found_in(config: RunConfig) -> Path:
    """Return the path that such settings hold, absolute."""
    documents = config.respond.documents
    law = config.define.get("law")
    if law is not None:
        options = config.registry.configure("domain", "law").options
        assert options.seeds == options.benchmark
        return options.seeds
    if config.base != "seedling":
        return Path(expand_base(str(config.base))).absolute()
    found = [config.data_dir, *config.adapters.values()]
    found += documents.values() if isinstance(documents, dict) else [documents]
    (path,) = [path for path in found if path is not None] or [config.out]
    return path.absolute()


@pytest.mark.parametrize("where", settings_with(""))
def test_paths_in_settings(places, where):
    for text, path in meant(places).items():
        config = resolve(settings_with(text)[where])
        assert found_in(config) == path.absolute(), text
        again = resolve(json.loads(json.dumps(config.model_dump(mode="json"))))
        assert again == config, text


@pytest.mark.parametrize("where", settings_with(""))
@pytest.mark.parametrize("text", WRONG)
def test_paths_in_settings_that_mean_nothing(text, where):
    with pytest.raises(ConfigError) as caught:
        resolve(settings_with(text)[where])
    lines = str(caught.value).split("\n")[1:]
    assert lines
    for line in lines:
        assert line.strip().startswith(where.split(",")[0])
        assert WRONG[text] in line


def test_a_run_file_and_set_say_the_same(places):
    (places / "home" / "run.yaml").write_text("out: $PLACE/runs\ndata_dir: ~/data\n")
    raw: dict = {}
    for assignment in ("out=$PLACE/runs", "data_dir=~/data"):
        assign(raw, assignment)
    for config in (complete("~/run.yaml"), complete(Path("$HOME/run.yaml")), resolve(raw)):
        assert config.out == places / "place" / "runs"
        assert config.data_dir == places / "home" / "data"


def test_settings_in_python(places):
    documents = {"math": "~/notes"}
    config = RunConfig(out="~/x", data_dir=Path("$PLACE/d"), respond={"documents": documents})
    assert (config.out, config.data_dir) == (places / "home" / "x", places / "place" / "d")
    assert complete(config).respond.folder("math") == places / "home" / "notes"
    with pytest.raises(ValidationError, match="'NO_SUCH' is not set"):
        RunConfig(out="$NO_SUCH/x")


def test_paths_in_options_of_a_domain_in_python(places):
    for path in ("~/law.csv", Path("~/law.csv"), places / "home" / "law.csv"):
        law = {"law": {"domain": "files", "options": {"seeds": path}}}
        config = complete(RunConfig(domains=["law"], define=law))
        assert config.define["law"].options["seeds"] == str(places / "home" / "law.csv")


def test_options_of_any_plugin(places):
    class Config(ComponentConfig):
        one: Path
        more: list[Path] = Field(default_factory=list)
        named: dict[str, Path] = Field(default_factory=dict)
        text: str = "~/no path"

    raw = {"one": "~/a", "more": ["$PLACE", "b"], "named": {"c": "~"}, "text": "$NO_SUCH"}
    found = validate(Config, raw)
    assert found.one == places / "home" / "a"
    assert found.more == [places / "place", Path("b")]
    assert found.named == {"c": places / "home"}
    assert found.text == "$NO_SUCH"
    assert validate(Config, found.model_dump(mode="json")) == found


def test_hub_ids_and_names_of_plugins_are_no_paths(monkeypatch):
    for name in (
        "Qwen/Qwen3-0.6B",
        "owner/model@refs/pr/1",
        "owner/model@a$b~",
        "seedling",
        "gpt2",
    ):
        assert expand_base(name) == written_base(name) == name
    monkeypatch.setenv("BASE", "owner/model@main")
    assert resolve({"base": "$BASE"}).base == "owner/model@main"
    assert resolve({"base": "owner/model"}).base == "owner/model"


def test_a_folder_with_a_dollar_sign_is_found_again(tmp_path, monkeypatch):
    folder = tmp_path / "$PLACE" / "$x"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "run.yaml").write_text("data_dir: data\nadapters: {law: law}\n")
    (folder / "selfmoe_plugin.py").write_text("")
    registry.cache_clear()
    config = resolve(from_yaml(folder / "run.yaml"))
    assert config.plugin_dir == folder
    again = resolve(config.model_dump(mode="json"))
    assert again == config
    assert again.data_dir == folder / "data"
    assert again.adapters == {"law": folder / "law"}


def test_functions_of_the_python_interface(places):
    for call in (load, selfmoe.remove_expert, selfmoe.add_expert):
        arguments = () if call is load else ("law",)
        with pytest.raises(RunError, match=f"{places}/home/no-run does not exist"):
            call("~/no-run", *arguments)
        with pytest.raises(ConfigError, match="'NO_SUCH' is not set"):
            call("$NO_SUCH/run", *arguments)
    with pytest.raises(ConfigError, match="'NO_SUCH' is not set"):
        selfmoe.run("$NO_SUCH/run.yaml")


def test_experts_of_a_composition(places):
    from selfmoe.testing.models import random_adapter, tiny_llama

    model = tiny_llama()
    random_adapter(model, places / "home" / "expert", seed=0)
    for path in ("~/expert", "$HOME/expert", Path("~/expert")):
        selfmoe.compose(model, {"a": path}, router="uniform")
    with pytest.raises(ConfigError, match="'NO_SUCH' is not set"):
        selfmoe.compose(model, {"a": "$NO_SUCH/expert"}, router="uniform")
    with pytest.raises(CompositionError, match=f"{places}/home/none"):
        selfmoe.compose(model, {"a": "~/none"}, router="uniform")


COMMANDS = ("status", "report", "gc", "compare", "remove-expert RUN x", "add-expert RUN x")


@pytest.mark.parametrize("name", COMMANDS)
def test_runs_on_the_command_line(places, cli, name):
    command = name.split() if "RUN" in name else [name, "RUN"]
    for text, path in (("~/no-run", "home/no-run"), ("$PLACE/no-run", "place/no-run")):
        result = cli(*[text if word == "RUN" else word for word in command])
        assert f"Error: {places}/{path} does not exist" in result.stderr
    result = cli(*["$NO_SUCH/run" if word == "RUN" else word for word in command])
    assert result.exit_code == 1
    assert "the environment variable 'NO_SUCH' is not set" in result.stderr


def test_options_with_paths_on_the_command_line(places, cli):
    assert cli("init", "~/new.yaml").exit_code == 0
    assert (places / "home" / "new.yaml").is_file()
    told = cli("config", "show", "~/new.yaml", "--data-dir=~/data", "--out=$PLACE/x", "--json")
    settings = json.loads(told.stdout)["settings"]
    assert settings["out"] == str(places / "place" / "x")
    assert settings["data_dir"] == str(places / "home" / "data")
    result = cli("run", "--out=$NO_SUCH/x", "--dry-run")
    assert "out: '$NO_SUCH/x': the environment variable 'NO_SUCH' is not set" in result.stderr


def test_runs_are_completed_behind_a_tilde(places):
    (places / "home" / "runs" / "demo").mkdir(parents=True)
    (places / "home" / "runs" / "demo" / "config.yaml").write_text("")
    for typed in ("~/runs/", "~/runs/de", "~/"):
        assert [item.value for item in runs(None, None, typed)] == ["~/runs/demo"]
