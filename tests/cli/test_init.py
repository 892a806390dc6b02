"""``selfmoe init`` and ``selfmoe config``: every setting, explained, valid, with its origin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from selfmoe.api.run import from_yaml
from selfmoe.config.model import RunConfig
from selfmoe.config.origins import leaves
from selfmoe.config.resolve import resolve
from selfmoe.config.schema import settings_schema
from selfmoe.config.template import template
from selfmoe.config.yaml_text import read_yaml
from selfmoe.registry.registry import registry

LINES = template().splitlines()
OFF = [number for number, line in enumerate(LINES) if re.match(r" *# [a-z_]+: ", line)]


def test_what_is_written_asks_for_what_is_done_without_it(cli):
    result = cli("init", "my.yaml")
    assert result.stdout == "Wrote my.yaml. Change it, then: selfmoe run my.yaml\n"
    assert resolve(from_yaml(Path("my.yaml"))) == resolve({})


@pytest.mark.parametrize("number", OFF, ids=lambda number: LINES[number].strip())
def test_every_line_can_be_uncommented(number):
    line = LINES[number].replace("# ", "", 1)
    text = "\n".join([*LINES[:number], line, *LINES[number + 1 :]])
    assert resolve(read_yaml(text, "text")) == resolve({})


def test_all_lines_can_be_uncommented_at_once():
    text = "\n".join(
        line.replace("# ", "", 1) if number in OFF else line for number, line in enumerate(LINES)
    )
    assert resolve(read_yaml(text, "text")) == resolve({})


def test_every_setting_is_there_and_explained():
    written = {line.strip(" #").partition(":")[0] for line in LINES}
    for path, _ in leaves(resolve({}).model_dump(mode="json")):
        composer = path[0] == "compose" and path[-1] in ("router", "merge", "options")
        assert path[-1] in written or composer or path == ("plugin_dir",), path
    for number in OFF:
        assert LINES[number - 1].strip().startswith("## ")
        assert len(LINES[number - 1].strip()) > 8


def test_the_decided_settings_are_on():
    assert set(yaml.safe_load(template())) > {"base", "domains", "track", "out", "seed"}


def test_what_is_there_is_kept_unless_forced(cli):
    Path("selfmoe.yaml").write_text("precious")
    assert cli("init").exit_code == 1
    assert Path("selfmoe.yaml").read_text() == "precious"
    assert cli("init", "--force").exit_code == 0
    assert Path("selfmoe.yaml").read_text() == template()


# --- config show ----------------------------------------------------------------------------------


def shown(cli, *arguments):
    """Return settings and origins that ``config show`` prints."""
    result = cli("config", "show", *arguments)
    assert result.exit_code == 0, result.stderr
    pattern = r"^ *([\w-]+): .*  # (.*)$"
    remarks = [re.match(pattern, line) for line in result.stdout.splitlines()]
    return read_yaml(result.stdout, "text"), [match.groups() for match in remarks if match]


def test_the_settings_shown_are_those_of_the_run(cli):
    settings, _ = shown(cli, "--set", "brainstorm.n=3", "--domains", "math")
    config = resolve({"domains": ["math"], "brainstorm": {"n": 3}})
    assert settings == config.model_dump(mode="json")
    assert resolve(settings) == config


def test_every_value_says_where_it_comes_from(cli):
    Path("run.yaml").write_text(
        "brainstorm: {n: 7, shots: 2}\nevaluate: {limit: null}\nspecialise: {options: {r: 4}}\n"
        "curate:\n"
    )
    result = cli(
        "config", "show", "run.yaml", "--seeds", "0..1", "--set", "brainstorm.n=9",
        "--set", "compose.mixse.options.k=2", "--data-dir", "data", "--json",
    )  # fmt: skip
    answer = json.loads(result.stdout)
    assert answer["settings"]["brainstorm"]["n"] == 9
    origins = answer["origins"]
    assert {path: origins[path] for path in EXPECTED} == EXPECTED
    paths = {".".join(path) for path, _ in leaves(answer["settings"])}
    assert set(origins) == paths


EXPECTED = {
    "base": "plugin default",
    "domains": "plugin default",
    "track": "default",
    "data_dir": "--data-dir",
    "out": "default",
    "seed": "--seeds",
    "preset": "base seedling",
    "brainstorm.n": "--set",
    "brainstorm.shots": "file run.yaml",
    "brainstorm.top_p": "default",
    "brainstorm.batch_size": "preset demo",
    "evaluate.limit": "file run.yaml",
    "curate.contamination": "default",
    "specialise.trainer": "plugin default",
    "specialise.options.r": "file run.yaml",
    "specialise.options.lr": "base seedling",
    "specialise.options.alpha": "default",
    "compose.mixse.router": "plugin default",
    "compose.mixse.merge": "default",
    "compose.mixse.options.k": "--set",
    "compose.mixse.options.train_k": "default",
}


def test_presets_of_components_are_named(cli):
    _, remarks = shown(cli, "--preset", "paper")
    assert ("train_k", "preset paper of router topk") in remarks
    assert ("preset", "--preset") in remarks


def test_a_section_replaced_by_set_does_not_keep_the_files_origins(cli):
    Path("run.yaml").write_text("brainstorm: {n: 7, shots: 2}\n")
    settings, _ = shown(cli, "run.yaml", "--set", "brainstorm={n: 9}")
    assert settings["brainstorm"]["shots"] == 3
    result = cli("config", "show", "run.yaml", "--set", "brainstorm={n: 9}", "--json")
    assert json.loads(result.stdout)["origins"]["brainstorm.shots"] == "default"


# --- config schema -------------------------------------------------------------------------------


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from references(part)


def test_the_schema_holds_every_setting_and_every_option(cli):
    schema = json.loads(cli("config", "schema").stdout)
    assert schema == settings_schema()
    assert set(schema["properties"]) == set(RunConfig.model_fields)
    for entry in registry().entries():
        if entry.kind in ("trainer", "router", "merge"):
            options = schema["$defs"][f"{entry.kind}.{entry.cls.name}"]
            assert set(options.get("properties", {})) == set(entry.cls.Config.model_fields)
            assert options["additionalProperties"] is False
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


def test_the_schema_offers_the_options_of_the_named_component():
    rules = settings_schema()["$defs"]["ComposeConfig"]["allOf"]
    rule = next(r for r in rules if r["if"]["properties"] == {"router": {"const": "topk"}})
    options = {"anyOf": [{"$ref": "#/$defs/router.topk"}, {"type": "null"}]}
    assert rule["then"] == {"properties": {"options": options}}


def test_the_schema_lets_sections_be_empty():
    schema = settings_schema()
    assert {"type": "null"} in schema["properties"]["seeds"]["anyOf"]
    assert {"type": "null"} in schema["$defs"]["SpecialiseConfig"]["properties"]["options"]["anyOf"]
    assert "anyOf" not in schema["properties"]["track"]
