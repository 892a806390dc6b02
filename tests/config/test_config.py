"""Settings: read strictly, filled in once, everything that is wrong said at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import selfmoe
from selfmoe.api.run import complete, from_yaml
from selfmoe.cli.run import parse_seeds
from selfmoe.config.layers import assign, merge
from selfmoe.config.model import PRESETS, RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.config.yaml_text import read_yaml, read_yaml_file, settings_text, value_text
from selfmoe.contracts.errors import ConfigError
from selfmoe.pipeline.make import make_plans
from selfmoe.registry.registry import registry


def wrong(raw: dict[str, Any]) -> list[str]:
    """Return the lines of the error that settings end in, without its head."""
    with pytest.raises(ConfigError) as caught:
        resolve(raw)
    head, *lines = str(caught.value).split("\n")
    assert head.startswith(f"settings: {len(lines)} problem")
    return [line.strip() for line in lines]


# --- unknown keys and wrong values ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "where", "hint"),
    [
        ({"brainstrom": {}}, "brainstrom", "brainstorm"),
        ({"brainstorm": {"shot": 2}}, "brainstorm.shot", "shots"),
        ({"evaluate": {"limits": 2}}, "evaluate.limits", "limit"),
        ({"specialise": {"options": {"alfa": 2}}}, "specialise.options.alfa", "alpha"),
        ({"compose": {"mixse": {"option": {}}}}, "compose.mixse.option", "options"),
        (
            {"compose": {"mixse": {"options": {"input": "x"}}}},
            "compose.mixse.options.input",
            "inputs",
        ),
        (
            {"compose": {"mine": {"merge": "ties", "options": {"densty": 1}}}},
            "compose.mine.options.densty",
            "density",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_key_names_the_nearest(raw: dict[str, Any], where: str, hint: str) -> None:
    (line,) = wrong(raw)
    assert line.startswith(f"{where}: unknown key; did you mean '{hint}'? Known keys: ")
    assert hint in line.partition("Known keys: ")[2]


@pytest.mark.parametrize(
    ("raw", "where", "allowed"),
    [
        ({"brainstorm": {"n": "8"}}, "brainstorm.n", 'integer; got "8"'),
        ({"brainstorm": {"n": 8.0}}, "brainstorm.n", "integer; got 8.0"),
        ({"brainstorm": {"n": True}}, "brainstorm.n", "integer; got true"),
        ({"brainstorm": {"n": 0}}, "brainstorm.n", "greater than or equal to 1"),
        ({"brainstorm": []}, "brainstorm", "a section with keys of its own; got []"),
        ({"brainstorm": {"top_p": 1.5}}, "brainstorm.top_p", "less than or equal to 1"),
        ({"curate": {"contamination": "no"}}, "curate.contamination", 'true or false; got "no"'),
        ({"specialise": {"options": {"r": "8"}}}, "specialise.options.r", "integer"),
        ({"specialise": {"options": {"lr": float("nan")}}}, "specialise.options.lr", "finite"),
        ({"specialise": {"options": {"lr": float("inf")}}}, "specialise.options.lr", "finite"),
        (
            {"specialise": {"experts": {"maths": {"r": 4}}}},
            "specialise.experts",
            "did you mean 'math'?",
        ),
        (
            {"specialise": {"experts": {"math": {"r": 0}}}},
            "specialise.experts.math.r",
            "greater than or equal to 1",
        ),
        ({"specialise": {"trainer": "lara"}}, "specialise.trainer", "did you mean 'lora'?"),
        ({"compose": {"a": {"router": "topkk"}}}, "compose.a.router", "did you mean 'topk'?"),
        ({"compose": {"a": {"merge": "topk"}}}, "compose.a.merge", "no merge named 'topk'"),
        ({"compose": {"a": {"options": {}}}}, "compose.a", "give either router or merge"),
        (
            {"compose": {"a": {"router": "topk", "merge": "ties"}}},
            "compose.a",
            "give either router or merge",
        ),
        ({"compose": {"mixs": {"options": {}}}}, "compose.mixs", "did you mean 'mixse'?"),
        ({"compose": {"base": {"router": "topk"}}}, "compose.base", "not a possible label"),
        ({"compose": {"expert-a": {"router": "topk"}}}, "compose.expert-a", "not a possible"),
        ({"compose": {"a/b": {"router": "topk"}}}, "compose.a/b", "not a possible label"),
        ({"compose": {"..": {"router": "topk"}}}, "compose...", "not a possible label"),
        ({"domains": ["maths"]}, "domains", "did you mean 'math'?"),
        ({"domains": ["math", "math"]}, "domains", "named twice"),
        ({"domains": []}, "domains", "at least one"),
        ({"domains": "math"}, "domains", 'a list, as in [a, b]; got "math"'),
        ({"track": "bench"}, "track", "'mini' or 'benchmark'"),
        ({"preset": "papers"}, "preset", "two-domains; did you mean 'paper'?"),
        ({"curate": {"verify": ["maths"]}}, "curate.verify", "did you mean 'math'?"),
        ({"seed": -1}, "seed", "between 0 and 2**63 - 1"),
        ({"seed": 2**63}, "seed", "between 0 and 2**63 - 1"),
        ({"seed": "x"}, "seed", "integer"),
        ({"seed": [0, "x"]}, "seed.1", 'integer; got "x"'),
        ({"seed": [1, 1]}, "seed", "different seeds"),
        ({"seed": []}, "seed", "one or more"),
        ({"out": 5}, "out", "path"),
        ({1: 2}, "1", "unknown key. Known keys: base"),
    ],
    ids=json.dumps,
)
def test_a_wrong_value_says_where_and_what_is_allowed(
    raw: dict[str, Any], where: str, allowed: str
) -> None:
    (line,) = wrong(raw)
    assert line.startswith(f"{where}: ")
    assert allowed in line


def test_a_domain_that_is_made_of_nothing() -> None:
    line, _ = wrong({"domains": ["math", "law"], "define": {"law": {"options": {}}}})[::-1]
    assert line.startswith("define.law.domain: name the domain plugin that it is made of")


def test_a_track_that_a_domain_lacks(tmp_path: Path, plugin_code: str) -> None:
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
    raw = {"domains": ["anything"], "track": "benchmark", "plugin_dir": str(tmp_path)}
    assert wrong(raw) == ["track: domain 'anything' has no track 'benchmark', only: mini."]


def test_all_problems_are_said_at_once() -> None:
    lines = wrong(
        {
            "brainstrom": {"n": 5},
            "track": "bench",
            "domains": ["maths"],
            "seeds": {"n": "many"},
            "specialise": {"options": {"r": 0, "rank": 8}},
            "compose": {
                "mixse": {"router": "topk", "options": {"k": "two"}},
                "base": {"merge": "tie"},
            },
        }
    )
    assert {line.partition(": ")[0] for line in lines} == {
        "brainstrom",
        "track",
        "domains",
        "seeds.n",
        "specialise.options.r",
        "specialise.options.rank",
        "compose.mixse.options.k",
        "compose.base",
        "compose.base.merge",
    }


# --- YAML ----------------------------------------------------------------------------------------


def test_yaml_reads_numbers_as_people_write_them() -> None:
    text = "a: 1e-4\nb: 1E5\nc: .5e3\nd: 3\ne: 0.5\nf: -2e-3"
    values = read_yaml(text, "text")
    assert values == {"a": 1e-4, "b": 1e5, "c": 500.0, "d": 3, "e": 0.5, "f": -0.002}
    assert [type(value) for value in values.values()] == [float, float, float, int, float, float]


def test_yes_and_no_are_words() -> None:
    assert read_yaml("[yes, no, on, off, y, n]", "text") == ["yes", "no", "on", "off", "y", "n"]
    assert read_yaml("[true, False]", "text") == [True, False]


NUMBERS = {
    "0123": 123, "-0123": -123, "0": 0, "00": 0, "08": 8, "+12": 12, "0o17": 15, "0x1F": 31,
    ".5": 0.5, "5.": 5.0, "1e3": 1000.0, "0123.5": 123.5, "1.e2": 100.0,
}  # fmt: skip
TEXTS = (
    "1:30", "1:30:00", "190:20:30.15", "1_000", "1_000.5", "0b1", "0b101", "-0o17", "0o8", "0xg",
    "yes", "No", "on", "OFF", "y", "none", "None", "2026-01-01", "2026-01-01 10:00:00", "1,000",
    "=", "1.2.3", "1e", "e3", ".", "inf", "nan", "+", "१२",
)  # fmt: skip
OTHERS = {"true": True, "False": False, "TRUE": True, "null": None, "~": None, "NULL": None}


@pytest.mark.parametrize(
    ("text", "value"),
    [*NUMBERS.items(), *((text, text) for text in TEXTS), *OTHERS.items()],
)
def test_a_word_is_what_yaml_1_2_and_people_take_it_for(
    text: str, value: Any, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(f"a: {text}\nb: [{text}]\n", "utf-8")
    raw: dict[str, Any] = {}
    assign(raw, f"a={text}")
    read = read_yaml_file(tmp_path / "run.yaml")
    assert raw["a"] == read["a"] == value
    assert type(raw["a"]) is type(read["a"]) is type(value)
    if "," not in text:
        assert read["b"] == [value]


@pytest.mark.parametrize("value", [*NUMBERS, *TEXTS, *OTHERS, "", "#", "a #b", "<<", "null", "~/x"])
@pytest.mark.parametrize("write", [value_text, settings_text])
def test_texts_are_written_so_that_they_are_read_as_texts(value: str, write: Any) -> None:
    tree = {"a": value, "b": [value], value: {"c": value}}
    assert read_yaml(write(tree), "text") == tree
    if value not in ("<<", "="):
        assert yaml.safe_load(write(tree)) == tree


def test_names_of_keys_are_texts_as_they_are_written() -> None:
    assert read_yaml("{007: a, 1.50: b, true: c, 0x1: d, 'x': e}", "text") == {
        "007": "a", "1.50": "b", "true": "c", "0x1": "d", "x": "e",
    }  # fmt: skip


def test_seeds_are_decimal_and_other_ways_of_writing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    for text in ("0123", "123", "+123"):
        path.write_text(f"seed: {text}\n")
        assert complete(path).root_seeds == [123]
    for text in ("1:30", "1_000", "0b11"):
        path.write_text(f"seed: {text}\n")
        with pytest.raises(ConfigError, match=r"seed: .*; write a number in digits alone"):
            complete(path)


@pytest.mark.parametrize("value", [2026, 1.5, True])
def test_a_text_that_looks_like_something_else_must_be_quoted(value: Any) -> None:
    for key in ("out", "device"):
        (line,) = wrong({key: value})
        assert line.endswith("; put it in quotes.")


@pytest.mark.parametrize("text", ["a #b", "#b", "2 # two", "[a, b] # all", "'a' #b"])
def test_a_comment_in_a_word_of_a_command_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set base=.*: what follows # would be left out"):
        assign({}, f"base={text}")


def test_a_sharp_within_a_word_or_quotes_is_no_comment() -> None:
    for text in ("a#b", "'a #b'", '"#b"', "[a#b, '#c']"):
        assign({}, f"base={text}")


def test_yaml_anchors_can_be_merged() -> None:
    assert read_yaml("a: &a {n: 1}\nb: {<<: *a, m: 2}", "text")["b"] == {"n": 1, "m": 2}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("seeds:\n  n: 1\n  n: 2\n", "line 3", "duplicate key 'n'"),
        ("a: 1\nb: [1, 2\n", "line 3", "expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", "line 2", "cannot start any token"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1", "python/object"),
        ("a:\n  ? [b, c]\n  : 1\n", "line 2", "a key must be"),
        ("a: 1\nnull: x\n", "line 2", "a key must be"),
        ("a: 1\n? !!binary eA==\n: x\n", "line 2", "a key must be"),
        ("a: !!int 1:30\n", "line 1", "'1:30' is no int"),
        ("a: !!timestamp 2026-01-01\n", "line 1", "timestamp"),
        ("a:\n  1: x\n  '1': y\n", "line 3", "duplicate key '1'"),
        ("a: " + "9" * 5000, "", "digits"),
        ("a: " + "[" * 5000, "", "recursion"),
    ],
    ids=lambda value: value[:20],
)
def test_broken_yaml_names_file_and_line(text: str, line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not valid YAML: ")
    assert line in message
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "reason"), [(b"- a\n", "must hold a mapping"), (b"a: \xff", "not UTF-8")]
)
def test_a_file_that_holds_no_settings(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        read_yaml_file(tmp_path / "run.yaml")
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.yaml"):
        read_yaml_file(tmp_path / "absent.yaml")


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("# nothing yet\n")
    assert read_yaml_file(tmp_path / "run.yaml") == {}


# --- --set and --seeds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("brainstorm.n=12", {"brainstorm": {"n": 12}}),
        ("compose.mixse.options.k=2", {"compose": {"mixse": {"options": {"k": 2}}}}),
        ("specialise.options.lr=1e-4", {"specialise": {"options": {"lr": 1e-4}}}),
        ("domains=[math, coding]", {"domains": ["math", "coding"]}),
        ("brainstorm={n: 3, shots: 2}", {"brainstorm": {"n": 3, "shots": 2}}),
        ("curate.contamination=false", {"curate": {"contamination": False}}),
        ("evaluate.limit=null", {"evaluate": {"limit": None}}),
        ("base=a=b", {"base": "a=b"}),
        (" brainstorm . n = 5", {"brainstorm": {"n": 5}}),
    ],
)
def test_set_takes_any_yaml_value(assignment: str, expected: dict[str, Any]) -> None:
    raw: dict[str, Any] = {}
    assign(raw, assignment)
    assert raw == expected


def test_set_keeps_what_lies_beside() -> None:
    raw = {"brainstorm": {"n": 5, "shots": 2}}
    assign(raw, "brainstorm.n=7")
    assert raw == {"brainstorm": {"n": 7, "shots": 2}}


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("brainstorm.n", "expected key=value"),
        ("=3", "expected key=value"),
        ("a..b=3", "expected key=value"),
        ("base.n=3", "'base' is a value, not a section"),
        ("brainstorm.n=[", "--set brainstorm.n=.* is not valid YAML"),
    ],
)
def test_set_says_what_is_wrong(assignment: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        assign({"base": "seedling"}, assignment)


def test_several_root_seeds() -> None:
    assert parse_seeds("0..4") == [0, 1, 2, 3, 4]
    assert parse_seeds("3..3") == [3]
    assert parse_seeds("0, 3,7") == [0, 3, 7]
    for text in ("4..0", "a", "", "1,,2", "-1", "0..100000"):
        with pytest.raises(ConfigError, match="--seeds"):
            parse_seeds(text)


# --- what fills the gaps -------------------------------------------------------------------------


def test_nothing_given_is_the_shipped_base_with_its_preset() -> None:
    config = resolve({})
    assert (config.base, config.preset, config.track) == ("seedling", "demo", "mini")
    assert config.out == Path("runs/demo")
    assert config.domains == ["coding", "knowledge", "math", "reasoning"]
    assert config.brainstorm.n == PRESETS["demo"]["brainstorm"]["n"]
    assert set(config.compose or {}) == {"mixse", "instance", "ties", "dare"}
    assert config.specialise.trainer == "lora"


def test_every_option_is_written_out() -> None:
    config = resolve({"preset": "paper"})
    options = config.specialise.options
    assert (options["r"], options["alpha"], options["lr"]) == (8, 16, 3e-4)
    assert (options["epochs"], options["batch_size"]) == (3, 32)
    assert (config.compose or {})["mixse"].options["train_k"] == "k"


def test_layers_preset_then_advice_then_the_user() -> None:
    demo = resolve({"preset": "demo"}).specialise.options
    paper = resolve({"preset": "paper"}).specialise.options
    user = resolve({"preset": "demo", "specialise": {"options": {"lr": 0.5}}}).specialise.options
    assert demo["lr"] != paper["lr"] == 3e-4
    assert user == {**demo, "lr": 0.5}


def test_a_base_can_have_presets_of_its_own(tiny_base_folder: Path) -> None:
    full = resolve({"preset": "seedling-full", "compose": {"mixse": {"options": {"k": 2}}}})
    advice = registry().get("base", "seedling").settings["seedling-full"]
    assert full.root_seeds == advice["run"]["seed"]
    assert list(full.compose or {}) == list(advice["run"]["compose"])
    assert (full.compose or {})["mixse"].options["k"] == 2
    assert (full.compose or {})["mixse"].options["lr"] == advice["options"]["topk"]["lr"]
    own = resolve({"preset": "seedling-full", "compose": {"one": {"merge": "mean"}}})
    assert set(own.compose or {}) == {"one"}
    with pytest.raises(ConfigError, match="there is no 'seedling-full' for this base"):
        resolve({"preset": "seedling-full", "base": str(tiny_base_folder)})


def test_advice_of_a_base_is_for_that_base(tiny_base_folder: Path) -> None:
    config = resolve({"base": str(tiny_base_folder)})
    assert config.preset == "paper"
    assert config.specialise.options["lr"] == 3e-4


def test_explicit_values_win_even_where_they_are_defaults() -> None:
    config = resolve({"preset": "demo", "brainstorm": {"n": 5000}, "evaluate": {"limit": None}})
    assert config.brainstorm.n == 5000
    assert config.evaluate.limit is None
    assert config.brainstorm.batch_size == PRESETS["demo"]["brainstorm"]["batch_size"]


def test_null_means_the_default_where_there_is_one() -> None:
    raw = {"base": None, "domains": None, "compose": None, "specialise": {"trainer": None}}
    assert resolve(raw) == resolve({})


def test_an_empty_section_asks_for_nothing() -> None:
    raw = {
        "brainstorm": None,
        "specialise": {"options": None},
        "compose": {"mixse": {"options": None}},
    }
    assert resolve(raw) == resolve({})


def test_options_change_a_default_composer() -> None:
    compose = resolve({"compose": {"mixse": {"options": {"k": 2}}}}).compose or {}
    assert set(compose) == {"mixse", "instance", "ties", "dare"}
    assert compose["mixse"].options["k"] == 2
    assert compose["ties"] == (resolve({}).compose or {})["ties"]


def test_composers_that_are_named_replace_the_default_ones() -> None:
    compose = resolve({"compose": {"two": {"router": "topk", "options": {"k": 2}}}}).compose or {}
    assert list(compose) == ["two"]
    assert compose["two"].component == ("router", "topk")


def test_what_is_given_is_not_changed() -> None:
    raw = {"compose": {"mixse": {"options": {"k": 2}}}, "specialise": {"options": {"r": 4}}}
    before = json.dumps(raw)
    resolve(raw)
    assert json.dumps(raw) == before


def test_merge_lays_sections_over_each_other() -> None:
    one, two = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2]}
    assert merge(one, two) == {"a": {"b": 1, "c": 3}, "d": [2]}
    assert one == {"a": {"b": 1, "c": 2}, "d": [1]}


SETTINGS: list[dict[str, Any]] = [
    {},
    {"preset": "paper", "seed": [0, 1], "domains": ["math"]},
    {"compose": {"two": {"router": "topk", "options": {"k": 2}}}, "evaluate": {"limit": None}},
    {"compose": {"mixse": {"options": {"k": 2}}}, "specialise": {"options": {"r": 4}}},
]


@pytest.mark.parametrize("raw", SETTINGS, ids=json.dumps)
def test_complete_settings_stay_what_they_are(raw: dict[str, Any]) -> None:
    config = resolve(raw)
    assert resolve(config.model_dump(mode="json")) == config
    assert complete(config) == config


@pytest.mark.parametrize("raw", SETTINGS, ids=json.dumps)
def test_settings_written_to_yaml_and_read_again_give_the_same_keys(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    config = resolve(raw)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    again = complete(path)
    assert again == config
    keys = [[task.cell.key for task in plan.tasks] for plan in make_plans(config)]
    assert keys == [[task.cell.key for task in plan.tasks] for plan in make_plans(again)]


# --- from Python ---------------------------------------------------------------------------------


def test_settings_can_be_written_in_python() -> None:
    config = selfmoe.RunConfig(
        domains=["math"], out="runs/x", data_dir="data", brainstorm={"n": 5}, seed=[0, 1]
    )
    full = complete(config)
    assert (full.out, full.data_dir) == (Path("runs/x"), Path("data").absolute())
    assert full.brainstorm.n == 5
    assert full.brainstorm.batch_size == PRESETS["demo"]["brainstorm"]["batch_size"]
    assert full.root_seeds == [0, 1]


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seed = 3  # type: ignore[misc]


def test_a_plugin_beside_the_yaml_is_found(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("domains: [math]\n")
    assert from_yaml(tmp_path / "run.yaml") == {"domains": ["math"]}
    (tmp_path / "selfmoe_plugin.py").write_text("")
    assert from_yaml(tmp_path / "run.yaml")["plugin_dir"] == str(tmp_path)


def test_a_folder_of_the_same_name_does_not_hide_a_base_plugin(tmp_path, monkeypatch):
    (tmp_path / "seedling").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve({"base": "seedling"}).base == "seedling"
