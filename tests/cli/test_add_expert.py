"""Adding an expert makes what depends on it and nothing else; removing it finds the former run."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import selfmoe
from selfmoe.api.expert_settings import grown, shrunk
from selfmoe.api.expert_source import with_source
from selfmoe.api.growth import ExpertSource, add_expert, remove_expert
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import (
    CompositionError,
    ConfigError,
    SelfmoeError,
    StageError,
    UnknownNameError,
)
from selfmoe.contracts.prompts import Prompts
from selfmoe.contracts.records import Instruction
from selfmoe.registry.registry import registry
from selfmoe.store.directory import RunDirectory
from selfmoe.testing.models import random_adapter, tiny_llama
from selfmoe_domain_files import Files


@pytest.fixture
def run(two_experts) -> Path:
    """Return a finished run of two experts, routed and merged."""
    return two_experts


def adapter_in(folder: Path) -> Path:
    return random_adapter(tiny_llama(num_hidden_layers=2), folder / "law", r=3, seed=5)


def files(root: Path, *folders: str) -> dict[str, bytes]:
    paths = [p for f in folders for p in sorted((root / f).rglob("*")) if p.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def cells(root: Path) -> dict[str, str]:
    (named,) = RunDirectory(root).manifest().cells.values()
    return {name: cell.path for name, cell in named.items()}


def test_only_what_depends_on_the_new_expert_is_made(run, plugin_with_more):
    before, kept = cells(run), files(run, "data", "experts", "compositions", "evaluations")
    growth = add_expert(run, "further")
    after = cells(run)
    assert kept.items() <= files(run, "data", "experts", "compositions", "evaluations").items()
    made = {name for name in after if after[name] != before.get(name)}
    assert {n for n in made if n.startswith("specialise/")} == {"specialise/further"}
    assert {n for n in made if n.startswith("compose/")} == {"compose/mixse"}
    assert "compose/ties" in before
    assert after["compose/ties"] == before["compose/ties"]
    assert growth.left == ["ties"]
    assert list(growth.systems) == ["mixse"]


def test_the_table_compares_on_all_domains(run, plugin_with_more):
    growth = add_expert(run, "further")
    rows = growth.systems["mixse"]
    assert list(rows) == ["anything/mini", "whatever/mini", "further/mini", "average"]
    for row in rows.values():
        strict = row.score
        assert strict.difference == pytest.approx(strict.after - strict.before)


def test_removing_gives_the_former_system_back_bit_for_bit(run, plugin_with_more):
    former = cells(run)
    settings, kept = (run / "config.yaml").read_bytes(), files(run, "compositions", "evaluations")
    add_expert(run, "further")
    finished = remove_expert(run, "further")
    assert finished.built == 0
    assert cells(run) == former
    assert (run / "config.yaml").read_bytes() == settings
    assert kept.items() <= files(run, "compositions", "evaluations").items()


def test_what_the_settings_leave_unscored_is_said_and_named_benchmarks_go_with_their_expert(
    run, tmp_path, capsys
):
    named = ["anything/mini"]
    raw = yaml.safe_load((run / "config.yaml").read_text())
    raw["evaluate"]["benchmarks"] = named
    (run / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    growth = add_expert(run, "nothing-else", source=ExpertSource(adapter=adapter_in(tmp_path)))
    assert "names none" not in capsys.readouterr().err  # it has no domain to be scored on
    assert list(growth.systems["mixse"]) == named
    remove_expert(run, "nothing-else")
    more = {**raw, "evaluate": {**raw["evaluate"], "benchmarks": [*named, "whatever/mini"]}}
    assert shrunk(more, "whatever")["evaluate"]["benchmarks"] == named
    assert (
        shrunk({**more, "evaluate": raw["evaluate"]}, "anything")["evaluate"]["benchmarks"] is None
    )


def test_a_domain_that_no_named_benchmark_is_of_is_said(run, plugin_with_more, capsys):
    raw = yaml.safe_load((run / "config.yaml").read_text())
    raw["evaluate"]["benchmarks"] = ["anything/mini"]
    (run / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    add_expert(run, "further")
    assert "evaluate.benchmarks names none of 'further'" in capsys.readouterr().err


def test_documents_of_a_domain_go_with_it(tmp_path):
    raw = {"domains": ["a", "b"], "compose": {}, "respond": {"documents": {"a": "x", "b": "y"}}}
    assert shrunk(raw, "b")["respond"]["documents"] == {"a": "x"}
    assert raw["respond"]["documents"] == {"a": "x", "b": "y"}


def test_what_fails_on_the_former_system_is_no_silence(run, plugin_with_more, monkeypatch):
    from selfmoe.api import growth

    def failing(plans, display, *, recorded):
        outcome = execute(plans, display, recorded=recorded)
        outcome.failed.append((plans.tasks[0], StageError("it broke")))
        return outcome

    execute = growth.execute
    monkeypatch.setattr(growth, "execute", failing)
    with pytest.raises(StageError, match="it broke"):
        add_expert(run, "further")


def test_an_interrupted_addition_goes_on(run, plugin_with_more, monkeypatch):
    from selfmoe.pipeline.stages import s7_evaluate as evaluate

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "_one", stop)
        with pytest.raises(KeyboardInterrupt):
            add_expert(run, "further")
    first = add_expert(run, "further")
    again = add_expert(run, "further")
    assert first.systems == again.systems
    assert again.run.built == 0


def test_extending_keeps_the_former_composition_as_a_step(run, plugin_with_more):
    former = cells(run)["compose/mixse"]
    growth = add_expert(run, "further", join="extend")
    after = cells(run)
    assert after["compose/mixse of anything, whatever"] == former
    assert growth.join == "extend"
    old = json.loads((run / former / "composition.json").read_text())
    new = json.loads((run / after["compose/mixse"] / "composition.json").read_text())
    assert [e["name"] for e in new["experts"]] == [*(e["name"] for e in old["experts"]), "further"]
    again = add_expert(run, "further")
    assert (again.join, again.run.built) == ("extend", 0)
    with pytest.raises(ConfigError, match="otherwise than is asked"):
        add_expert(run, "further", join="refit")


def test_an_adapter_from_outside_is_taken_as_it_is(run, tmp_path, capsys):
    adapter = adapter_in(tmp_path)
    add_expert(run, "law", source=ExpertSource(adapter=adapter))
    cell = run / cells(run)["specialise/law"]
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (cell / name).read_bytes() == (adapter / name).read_bytes()
    assert "was made for" in capsys.readouterr().err
    assert cells(run)["compose/mixse"]
    remove_expert(run, "law")
    assert "specialise/law" not in cells(run)


WRONG = {
    "wide": ({"hidden_size": 64}, {}, "was the expert trained on another model"),
    "deep": ({"num_hidden_layers": 5}, {}, "made for a deeper model"),
    "shallow": ({"num_hidden_layers": 1}, {}, "made for a shallower model"),
    "no numbers": ({}, {"std": float("nan")}, "infinite or undefined"),
    "DoRA": ({}, {"options": {"use_dora": True}}, "DoRA"),
}


def test_an_adapter_that_does_not_fit_is_refused_before_the_run_is_changed(run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    adapters = {}
    for kind, (shape, options, _) in WRONG.items():
        other = tiny_llama(**{"num_hidden_layers": 2, **shape})
        adapters[kind] = random_adapter(other, tmp_path / kind, **{"r": 3, **options})
    adapters["outside"] = adapter_in(tmp_path)
    weights = adapters["outside"] / "adapter_model.safetensors"
    head = {"base_model.model.lm_head.lora_A.weight": torch.ones(3, 32)}
    head["base_model.model.lm_head.lora_B.weight"] = torch.ones(288, 3)
    save_file(load_file(weights) | head, weights)
    for kind, adapter in adapters.items():
        says = (
            WRONG[kind][-1] if kind in WRONG else "lm_head, which lies outside the decoder blocks"
        )
        with pytest.raises(CompositionError, match=says) as said:
            add_expert(run, "law", source=ExpertSource(adapter=adapter))
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
        doors = [{"router": "uniform"}] + ([{"merge": "ties"}] if kind in WRONG else [])
        for door in doors:
            with pytest.raises(CompositionError) as composed:
                selfmoe.compose(tiny_llama(num_hidden_layers=2), {"law": adapter}, **door)
            assert str(composed.value) == str(said.value), "every door says the same"


def test_an_adapter_of_the_base_itself_draws_no_warning(run, tmp_path, capsys):
    adapter = adapter_in(tmp_path)
    base = Path(yaml.safe_load((run / "config.yaml").read_text())["base"])
    (tmp_path / "link").symlink_to(base)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "link")
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    add_expert(run, "law", source=ExpertSource(adapter=adapter))
    assert "was made for" not in capsys.readouterr().err


ROWS = [
    {"instruction": f"Say what comes after {n}.", "input": "", "response": str(n + 1)}
    for n in range(6)
]


def write(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def anything_is_a_task(monkeypatch):
    """Let the domain of files take what a random model writes for a task."""
    stop = tuple("abcdefghijklmnopqrstuvwxyz\ufffd")
    prompts = Prompts(brainstorm_header="Tasks.", stop=stop)
    monkeypatch.setattr(Files, "_refuse_stops", lambda self, rows, source: None)
    monkeypatch.setattr(Files, "prompts", lambda self, source: prompts)
    monkeypatch.setattr(Files, "parse", lambda self, text: Instruction(f"Say {text!r}."))


def test_a_field_without_a_plugin(run, tmp_path, anything_is_a_task):
    seeds, held = write(tmp_path / "my.jsonl", ROWS[:4]), write(tmp_path / "held.jsonl", ROWS[4:])
    source = ExpertSource(seeds=seeds, description="counting", benchmark=held)
    growth = add_expert(run, "law", source=source)
    assert "law/held-out" in growth.systems["mixse"]
    told = yaml.safe_load((run / "config.yaml").read_text())["define"]["law"]
    assert told["options"]["seeds"] == str(seeds)
    assert selfmoe.run(run / "config.yaml").built == 0
    seeds.write_text(seeds.read_text().replace("after 0", "after 00"))
    assert selfmoe.run(run / "config.yaml").built > 0


def test_an_interrupted_addition_from_files_goes_on(run, tmp_path, anything_is_a_task, monkeypatch):
    from selfmoe.pipeline.stages import s7_evaluate as evaluate

    def stop(*arguments):
        raise KeyboardInterrupt

    source = ExpertSource(seeds=write(tmp_path / "my.jsonl", ROWS), description="counting")
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "_one", stop)
        with pytest.raises(KeyboardInterrupt):
            add_expert(run, "law", source=source)
    assert add_expert(run, "law", source=source).run.built > 0
    others: list[dict[str, object]] = [
        {"source": ExpertSource(seeds=write(tmp_path / "other.jsonl", ROWS))},
        {"source": ExpertSource(adapter=tmp_path)},
        {"join": "extend"},
        {"systems": ["ties"]},
    ]
    for asked in others:
        with pytest.raises(ConfigError, match=r"otherwise than is asked(.|\n)*remove-expert"):
            add_expert(run, "law", **asked)


# --- mistakes -------------------------------------------------------------------------------------


def test_mistakes_are_said_before_anything_is_done(run, tmp_path, plugin_with_more):
    before = (run / "config.yaml").read_bytes()
    seeds = write(tmp_path / "my.jsonl", ROWS)
    cases = [
        (("furter",), {}, UnknownNameError, "did you mean 'further'"),
        (("further",), {"systems": ["mixe"]}, UnknownNameError, "no composition named 'mixe'"),
        (("further",), {"source": ExpertSource(seeds=seeds)}, ConfigError, "with seeds of its own"),
        (("law",), {"source": ExpertSource(description="x")}, ConfigError, "go with --seeds"),
        (("anything",), {"source": ExpertSource(seeds=seeds)}, ConfigError, "already"),
        (("Law",), {"source": ExpertSource(seeds=seeds)}, ConfigError, "not a possible name"),
        (("further",), {"join": "extend", "systems": ["ties"]}, ConfigError, "cannot be extended"),
    ]
    for arguments, named, error, words in cases:
        with pytest.raises(error, match=words):
            add_expert(run, *arguments, **named)
    with pytest.raises(UnknownNameError, match="no expert named 'further'"):
        remove_expert(run, "further")
    assert (run / "config.yaml").read_bytes() == before


def test_a_source_that_cannot_be_used_leaves_the_run_as_it_was(run, tmp_path):
    before = (run / "config.yaml").read_bytes()
    seeds, held = write(tmp_path / "my.jsonl", ROWS), write(tmp_path / "held.jsonl", ROWS[:1])
    empty = write(tmp_path / "empty.jsonl", [])
    cut = random_adapter(tiny_llama(num_hidden_layers=2), tmp_path / "cut", r=3, seed=5)
    (cut / "adapter_model.safetensors").write_bytes(b"half")
    odd = random_adapter(tiny_llama(num_hidden_layers=2), tmp_path / "odd", r=3, seed=5)
    settings = json.loads((odd / "adapter_config.json").read_text())
    (odd / "adapter_config.json").write_text(json.dumps({**settings, "r": "x"}))
    for source, words in (
        (ExpertSource(seeds=empty), "holds no tasks"),
        (ExpertSource(seeds=seeds, benchmark=empty), "holds no tasks"),
        (ExpertSource(seeds=seeds, benchmark=held), "of its benchmark 'held-out'"),
        (ExpertSource(adapter=cut), "cut/adapter_model.safetensors is damaged"),
        (ExpertSource(adapter=odd), "must be a number; got 'x'"),
    ):
        with pytest.raises(SelfmoeError, match=words):
            add_expert(run, "law", source=source)
    assert (run / "config.yaml").read_bytes() == before


def test_the_last_expert_stays(finished):
    with pytest.raises(ConfigError, match="only expert"):
        remove_expert(finished, "anything")


# --- settings -------------------------------------------------------------------------------------


COMPOSE = {
    "mixse": {"router": "topk", "experts": None, "extend": []},
    "ties": {"merge": "ties", "experts": ["a"], "extend": []},
}


@pytest.mark.parametrize("first", ["refit", "extend"])
@pytest.mark.parametrize("second", ["refit", "extend"])
@pytest.mark.parametrize("labels", [["mixse"], ["mixse", "ties"], ["ties"]])
def test_shrinking_is_the_inverse_of_growing(first, second, labels):
    raw = {"domains": ["a", "b"], "compose": COMPOSE, "define": {}, "adapters": {}}
    one = grown({**raw, "domains": ["a", "b", "c"]}, "c", labels, first)
    two = grown({**one, "domains": ["a", "b", "c", "d"]}, "d", labels, second)
    assert shrunk(two, "d") == one
    assert shrunk(one, "c") == raw


NAMING = {
    "verified": {"curate": {"verify": ["law"]}},
    "verified with others": {"curate": {"verify": ["math", "law"]}},
    "documents": {"respond": {"documents": {"law": "notes", "math": "notes"}}},
    "benchmarks": {"evaluate": {"benchmarks": ["law/held-out", "math/mini"]}},
    "an adapter of its own": {"adapters": {"law": "adapter"}},
    "compositions": {
        "compose": {
            "some": {"router": "topk", "experts": ["math", "law"], "extend": ["law"]},
            "all": {"merge": "ties"},
        }
    },
}
NAMING["all of it"] = {key: value for named in NAMING.values() for key, value in named.items()}
NAMING["options of its own"] = {"specialise": {"experts": {"law": {"r": 2}, "math": {"r": 4}}}}


@pytest.mark.parametrize("named", NAMING.values(), ids=NAMING)
def test_settings_that_name_a_field_of_the_run_go_with_it(named):
    define = {"law": {"domain": "files", "options": {"seeds": "law.jsonl"}}}
    config = resolve({"domains": ["math", "law"], "define": define, **named})
    left = shrunk(config.model_dump(mode="json"), "law")
    resolve(left)
    assert "law" not in json.dumps({**left, "out": ""})


def test_what_others_have_checked_stays_checked():
    raw = {"domains": ["a", "b", "c"], "compose": {}, "curate": {"verify": ["c", "b"]}}
    assert shrunk(raw, "b")["curate"]["verify"] == ["c"]
    for everyone in (True, False):
        assert shrunk({**raw, "curate": {"verify": everyone}}, "b")["curate"]["verify"] is everyone


def test_removing_a_verified_field_of_the_run(run, tmp_path, anything_is_a_task):
    add_expert(run, "law", source=ExpertSource(seeds=write(tmp_path / "my.jsonl", ROWS)))
    raw = yaml.safe_load((run / "config.yaml").read_text())
    raw["curate"]["verify"] = ["law"]
    (run / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    finished = remove_expert(run, "law")
    assert "specialise/law" not in cells(run)
    assert finished.built == 0


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        ("domain-math,base-seedling", "SELFMOE_PLUGINS limits the plugins"),
        ("", "SELFMOE_PLUGINS limits the plugins"),
        ("domain-files-", "domain-files- .*not installed"),
    ],
)
def test_seeds_without_a_domain_that_reads_files(tmp_path, monkeypatch, loaded, words):
    monkeypatch.setenv("SELFMOE_PLUGINS", loaded)
    registry.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"--seeds needs a plugin") as caught:
            with_source({"domains": ["a"]}, "law", ExpertSource(seeds=tmp_path / "law.jsonl"))
    finally:
        registry.cache_clear()
    assert re.search(words, str(caught.value))


def test_seeds_where_the_plugin_that_reads_files_is_broken(tmp_path, monkeypatch):
    names = copy.copy(registry())
    names._entries = {k: v for k, v in names._entries.items() if k != ("domain", "files")}
    names.plugins = [replace(p, reason="no") for p in names.plugins if p.name == "domain-files"]
    monkeypatch.setattr(type(RunConfig()), "registry", names)
    with pytest.raises(ConfigError, match=r"domain-files \(no\)(.|\n)*list-plugins"):
        with_source({"domains": ["a"]}, "law", ExpertSource(seeds=tmp_path / "law.jsonl"))


def test_the_command_says_that_nothing_reads_files(run, tmp_path, cli, monkeypatch):
    seeds = write(tmp_path / "my.jsonl", ROWS)
    monkeypatch.setenv("SELFMOE_PLUGINS", "base-seedling,trainer-lora,router-topk,merge-ties")
    registry.cache_clear()
    try:
        result = cli("add-expert", str(run), "law", "--seeds", str(seeds))
    finally:
        registry.cache_clear()
    assert result.exit_code == 1
    assert "--seeds needs a plugin whose domain reads tasks from files" in result.stderr


def test_paths_of_a_source_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLACE", str(tmp_path))
    source = ExpertSource(seeds="~/law.jsonl", benchmark="$PLACE/held.jsonl", adapter="${PLACE}/a")
    assert source.seeds == tmp_path / "home" / "law.jsonl"
    assert (source.benchmark, source.adapter) == (tmp_path / "held.jsonl", tmp_path / "a")
    with pytest.raises(ConfigError, match="'NO_SUCH' is not set"):
        ExpertSource(seeds="$NO_SUCH/law.jsonl")
