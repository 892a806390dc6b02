"""``selfmoe evaluate``: benchmarks of a base and of adapters, as a run would score them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import selfmoe
from selfmoe.api.evaluation.adapters import named
from selfmoe.cli.completing import runs
from selfmoe.contracts.errors import ConfigError, RunError, UnknownNameError
from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.records import Instruction
from selfmoe.models.tokens import prompt_ids
from selfmoe.reporting.results import read_results
from selfmoe.store.directory import EvaluationDirectory, RunDirectory
from selfmoe.store.files import read_jsonl
from selfmoe.testing.models import random_adapter, tiny_llama

OUT = "evaluations/mine"
SAMPLE_DATA = Path(__file__).parents[2] / "docs" / "sample-data"


@pytest.fixture(scope="session")
def adapters(tmp_path_factory) -> Path:
    """Return a folder with adapters for the tiny base, ``law`` and ``tax``, and one too deep."""
    folder = tmp_path_factory.mktemp("adapters")
    model = tiny_llama(num_hidden_layers=2)
    random_adapter(model, folder / "law", r=3, seed=5)
    random_adapter(model, folder / "Tax.v2", r=2, seed=6)
    random_adapter(tiny_llama(num_hidden_layers=4), folder / "deep", r=2, seed=7)
    return folder


@pytest.fixture
def evaluate(cli, tiny_base_folder, plugin_code, tmp_path):
    """Return what runs ``selfmoe evaluate`` on the tiny base, with the run's own domains."""
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
    place = ("--set", f"plugin_dir={tmp_path}", "--out", OUT)

    def run(*arguments: str, items: int = 2, benchmarks: str = "anything/mini"):
        asked = ("--limit", str(items), "--benchmarks", benchmarks)
        return cli("evaluate", str(tiny_base_folder), *place, *asked, *arguments)

    return run


@pytest.fixture
def no_model(monkeypatch) -> None:
    """Let loading a base fail the test."""
    monkeypatch.setattr("selfmoe.pipeline.session.load_base", lambda *_: pytest.fail("base loaded"))


def stamps(root: Path) -> dict[str, int]:
    """Return when every cell was written."""
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.glob("*/[!.]*/cell.json")}


def rows(root: Path, system: str, benchmark: str = "anything/mini") -> list[dict]:
    """Return the samples of a system in a run or an evaluation."""
    manifest = json.loads((root / "manifest.json").read_text())["cells"]["0"]
    folder = root / manifest[f"evaluate/{system}/{benchmark}"]["path"]
    return read_jsonl(folder / f"{benchmark.replace('/', '.')}.samples.jsonl")


# --- the same as in a run -------------------------------------------------------------------------


@pytest.fixture
def run_with_adapter(configure, adapters) -> Path:
    """Return a run with a trained expert, one from outside, and a row with two examples."""
    evaluate = {"limit": 3, "base_shots": 2}
    return selfmoe.run(configure(adapters={"law": str(adapters / "law")}, evaluate=evaluate)).path


def test_scores_and_samples_are_those_of_a_run(evaluate, run_with_adapter, adapters, tmp_path):
    (trained,) = run_with_adapter.glob("experts/anything@*")
    given = ("--adapter", str(trained), "--adapter", f"law={adapters / 'law'}")
    done = evaluate(*given, "--shots", "2", items=3)
    assert done.exit_code == 0, done.stderr
    out = tmp_path / OUT
    systems = ["base", "base-2shot", "expert-anything", "expert-law"]
    for system in systems:
        assert rows(out, system) == rows(run_with_adapter, system)
        assert len(rows(out, system)) == 3
    scores = {s["name"]: s for s in json.loads((out / "results.json").read_text())["systems"]}
    ours = {s.name: s.to_json() for s in read_results(run_with_adapter).systems}
    assert {name: scores[name] for name in systems} == {name: ours[name] for name in systems}
    texts = {name: [row["completion"] for row in rows(out, name)] for name in systems}
    assert texts["base"] != texts["expert-law"] != texts["expert-anything"]


def test_keys_are_those_of_a_run(evaluate, run_with_adapter, adapters, tmp_path):
    evaluate("--adapter", str(adapters / "law"), "--shots", "2", items=3)
    made = json.loads((tmp_path / OUT / "manifest.json").read_text())["cells"]["0"]
    run = json.loads((run_with_adapter / "manifest.json").read_text())["cells"]["0"]
    shared = [name for name in made if name in run]
    assert {name: made[name] for name in shared} == {name: run[name] for name in shared}
    assert set(made) - set(shared) == {"evaluate/expert-law-2shot/anything/mini"}
    assert {name.partition("/")[0] for name in made} == {"specialise", "evaluate"}


def test_no_seeds_are_drawn_and_nothing_else_is_made(cli, tiny_base_folder, tmp_path, monkeypatch):
    from selfmoe_domain_math import Math

    monkeypatch.setattr(Math, "seeds", lambda *_: pytest.fail("seeds drawn"))
    given = ("--benchmarks", "math/mini", "--limit", "2")
    assert cli("evaluate", str(tiny_base_folder), *given).exit_code == 0
    (root,) = (tmp_path / "evaluations").iterdir()
    assert root.name == tiny_base_folder.name
    assert {path.name for path in root.iterdir()} == {
        "evaluation.yaml", "evaluations", "manifest.json", "results.json", "run.lock", "work",
    }  # fmt: skip


def test_without_benchmarks_those_of_the_default_domains_are_asked(cli, tiny_base_folder):
    shown = cli("evaluate", str(tiny_base_folder), "--dry-run", "--set", "domains=[math, coding]")
    assert "base/math/mini" in shown.stdout
    assert "base/coding/mini" in shown.stdout
    assert "2 benchmarks, all items of each" in shown.stdout
    assert "Nothing was changed." in shown.stdout
    assert not Path("evaluations").exists()


def test_files_of_real_benchmarks(cli, tiny_base_folder, tmp_path):
    named = "reasoning/piqa,math/gsm8k"
    given = ("--track", "benchmark", "--data-dir", str(SAMPLE_DATA), "--benchmarks", named)
    done = cli("evaluate", str(tiny_base_folder), *given, "--out", OUT)
    assert done.exit_code == 0, done.stderr
    assert "Other benchmarks, in %" in done.stdout
    assert rows(tmp_path / OUT, "base", "reasoning/piqa")[0]["loglikelihoods"]
    again = cli("evaluate", str(tiny_base_folder), *given, "--out", OUT, "--json")
    assert json.loads(again.stdout)["systems"][0]["covers"] == [1, 1]


# --- what is said ---------------------------------------------------------------------------------


def test_table_differences_and_places(evaluate, adapters, words_of):
    done = evaluate("--adapter", f"a={adapters / 'law'}", "--shots", "1")
    table = done.stdout
    assert [name for name in ("base", "base-1shot", "expert-a", "expert-a-1shot") if
            f"│ {name} " not in table] == []  # fmt: skip
    assert "± half the 95 % interval over items; gain over base in points." in table
    assert "root seed" not in table
    assert "expert-a less base, on the same items: " in table
    assert f"Results: {OUT}/results.json" in table
    assert f"Samples: {OUT}/evaluations (one folder a system and benchmark)" in table
    assert f"Every answer: selfmoe explain-score {OUT} base anything/mini" in table
    assert "[5/5] evaluate expert-a-1shot/anything/mini (up to 2 items) done in " in done.stderr


def test_json_is_what_the_file_holds(evaluate, tmp_path):
    shown = json.loads(evaluate("--json").stdout)
    root = tmp_path / OUT
    assert shown == json.loads((root / "results.json").read_text())
    assert shown["paired"] == {"reference": "base", "systems": {}}
    for answered in shown["samples"].values():
        for file in answered.values():
            assert len(read_jsonl(root / file)) == 2


def test_other_commands_read_the_folder(evaluate, cli, adapters, tmp_path):
    evaluate("--adapter", f"law={adapters / 'law'}")
    shown = cli("explain-score", OUT, "expert-law", "anything/mini")
    assert shown.stdout.startswith("expert-law on anything/mini: ")
    assert "2 of 2 items, 2 items in all." in shown.stdout
    status = cli("status", OUT).stdout
    assert status.startswith(f"Evaluation {OUT}")
    assert "3 of 3 cells are done" in status
    assert cli("gc", OUT, "--yes").stdout == "Nothing to delete.\n"
    said = cli("generate", OUT, "Hello", "--system", "expert-law", "--max-new-tokens", "2")
    assert said.exit_code == 0, said.stderr
    assert [item.value for item in runs(None, None, "evaluations/")] == [OUT]


def test_tasks_are_put_as_they_were(evaluate, tmp_path):
    """The folder says which template ``auto`` stood for, as a run's does."""
    assert evaluate("--set", "prompts.template=auto").exit_code == 0
    _, tokenizer = selfmoe.load(tmp_path / OUT, "base")
    asked = alpaca(Instruction("Say it.", "Twice."))
    found = selfmoe.prompt_ids(tmp_path / OUT, tokenizer, "Say it.", "Twice.")
    assert found == prompt_ids(tokenizer, asked)


@pytest.mark.parametrize(
    "command",
    [["compare", OUT], ["report", OUT], ["add-expert", OUT, "math"], ["remove-expert", OUT, "a"],
     ["explain-data", OUT, "math"]],
)  # fmt: skip
def test_commands_on_runs_refuse_it(evaluate, cli, command, tmp_path):
    evaluate()
    before = sorted(tmp_path.rglob("*"))
    done = cli(*command)
    assert done.exit_code == 1
    assert f"Error: {OUT} is the folder of an evaluation; give the folder of a run" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


# --- nothing twice, nothing lost ------------------------------------------------------------------


def test_a_second_time_nothing_is_done(evaluate, adapters, tmp_path, monkeypatch):
    first = evaluate("--adapter", str(adapters / "law"), "--json")
    before = stamps(tmp_path / OUT)
    monkeypatch.setattr("selfmoe.pipeline.session.load_base", lambda *_: pytest.fail("base loaded"))
    again = evaluate("--adapter", str(adapters / "law"), "--json")
    assert "Nothing to do: all 3 cells are there." in again.stderr
    assert again.stdout == first.stdout
    assert stamps(tmp_path / OUT) == before


def test_only_what_is_new_is_asked(evaluate, adapters, tmp_path):
    evaluate()
    before = stamps(tmp_path / OUT)
    done = evaluate("--adapter", str(adapters / "law"), benchmarks="anything/mini,whatever/mini")
    assert "[2/5] evaluate base/whatever/mini" not in done.stderr  # the adapter comes first
    assert "evaluate base/anything/mini (up to" not in done.stderr
    assert before.items() < stamps(tmp_path / OUT).items()
    assert len(stamps(tmp_path / OUT)) == 5


def test_it_goes_on_after_an_interrupt(evaluate, cli, adapters, tmp_path, monkeypatch):
    from selfmoe.pipeline.stages import s7_evaluate

    whole = json.loads(evaluate("--adapter", str(adapters / "law"), "--json").stdout)
    expected = {name: rows(tmp_path / OUT, name) for name in ("base", "expert-law")}
    (tmp_path / OUT).rename(tmp_path / "whole")
    answered = s7_evaluate._answered

    def broken(system, *rest):
        if system.kind == "expert":
            raise KeyboardInterrupt
        return answered(system, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(s7_evaluate, "_answered", broken)
        stopped = evaluate("--adapter", str(adapters / "law"))
    assert stopped.exit_code == 130
    before = stamps(tmp_path / OUT)
    assert {name.partition("@")[0] for name in before} == {"experts/law", "evaluations/base"}
    unfinished = cli("explain-score", OUT, "base", "anything/mini").stderr
    assert f"is no finished evaluation; go on with: selfmoe evaluate --out {OUT}" in unfinished
    assert f"To go on: selfmoe evaluate --out {OUT}" in cli("status", OUT).stdout
    done = cli("evaluate", "--out", OUT, "--json")
    assert done.exit_code == 0, done.stderr
    assert before.items() < stamps(tmp_path / OUT).items()
    assert json.loads(done.stdout) == whole
    assert {name: rows(tmp_path / OUT, name) for name in expected} == expected


def test_a_kill_loses_no_finished_cell(evaluate, environment, tiny_base_folder, cli, tmp_path):
    (tmp_path / "selfmoe_plugin.py").write_text("")
    names = "math/mini,knowledge/mini,reasoning/mini"
    line = ["evaluate", str(tiny_base_folder), "--benchmarks", names, "--limit", "4", "--out", OUT]
    line += ["--dtype", "float32"]  # what auto is depends on the processor
    process = subprocess.Popen(
        [sys.executable, "-m", "selfmoe", *line],
        env=environment(), cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    root, deadline = tmp_path / OUT, time.monotonic() + 200
    while not stamps(root) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = stamps(root)
    assert kept
    done = cli(*line)
    assert done.exit_code == 0, done.stderr
    assert kept.items() <= stamps(root).items()
    assert len(stamps(root)) == 3
    assert not list(root.rglob("*.tmp-*"))


def test_what_fails_does_not_keep_the_rest_from_being_asked(evaluate, tmp_path, monkeypatch):
    from selfmoe.pipeline.stages import s7_evaluate

    answered = s7_evaluate._answered

    def failing(system, domain, *rest):
        if domain.name == "anything":
            raise ValueError("no luck")
        return answered(system, domain, *rest)

    monkeypatch.setattr(s7_evaluate, "_answered", failing)
    done = evaluate(benchmarks="anything/mini,whatever/mini")
    assert done.exit_code == 1
    assert "Failed: evaluate/base/anything/mini: ValueError: no luck" in done.stdout
    assert "whatever/mini" in done.stdout
    assert "Error: evaluate base/anything/mini: ValueError: no luck" in done.stderr
    assert len(stamps(tmp_path / OUT)) == 1
    done = evaluate("--out", "evaluations/other")
    assert done.exit_code == 1
    assert done.stdout.startswith("Failed: evaluate/base/anything/mini: ValueError: no luck")


def test_without_a_base_it_goes_on_wherever_the_folder_lies(evaluate, cli, adapters, tmp_path):
    first = json.loads(evaluate("--adapter", str(adapters / "law"), "--json").stdout)
    (tmp_path / OUT).rename(tmp_path / "moved")
    again = cli("evaluate", "--out", "moved", "--json")
    assert json.loads(again.stdout) == first
    assert "Nothing to do: all 3 cells are there." in again.stderr
    more = cli("evaluate", "--out", "moved", "--limit", "3", "--json")
    assert json.loads(more.stdout)["systems"][1]["scores"]["anything/mini"]["n"] == 3


def test_a_damaged_cell_is_made_again(evaluate, cli, tmp_path):
    first = evaluate("--json").stdout
    (samples,) = (tmp_path / OUT).glob("evaluations/*/*.samples.jsonl")
    samples.write_text("{}")
    told = cli("explain-score", OUT, "base", "anything/mini").stderr
    assert f"selfmoe evaluate --out {OUT}" in told
    assert evaluate("--json").stdout == first


# --- what is wrong is said before a model is loaded -----------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmarks", "anythin/mini"], "did you mean 'anything/mini'?"),
        (["--benchmarks", "math/gsm8k"], "'math/gsm8k' is on the track 'benchmark', asked is the "
         "track 'mini'\n  Add --track benchmark"),
        (["--benchmarks", "gsm8k"], "no benchmark 'gsm8k'; did you mean 'math/gsm8k'?\n  On the "
         "track 'mini': coding/mini, "),
        (["--benchmarks", "math/mini,math/mini"], "'math/mini' is named twice"),
        (["--benchmarks", ","], "evaluate.benchmarks: "),
        (["--limit", "0"], "evaluate.limit: "),
        (["--shots", "-1"], "evaluate.base_shots: "),
        (["--split", "train"], "evaluate.split: "),
        (["--track", "real"], "track: "),
        (["--device", "tpu"], "tpu"),
        (["--data-dir", "nowhere"], "nowhere does not exist; --data-dir must name a folder"),
        (["--set", "brainstorm.n=5"], "'brainstorm' has no part in an evaluation\n  It reads: "),
        (["--set", "evaluate.limmit=5"], "unknown key; did you mean 'limit'?"),
        (["--set", "evalute.limit=5"], "unknown key; did you mean 'evaluate'?"),
        (["--adapter", "ADAPTERS/none"], "ADAPTERS/none does not exist; give the folder of a PEFT"),
        (["--adapter", "A B=ADAPTERS/law"], "A B=ADAPTERS/law does not exist"),
        (["--adapter", "ADAPTERS"], "adapter_config.json"),
        (["--adapter", "ADAPTERS/deep"], "so it was made for a deeper model"),
        (["--adapter", "ADAPTERS/law", "--adapter", "law=ADAPTERS/Tax.v2"],
         "two adapters are named 'law': "),
        (["--adapter", "x=ADAPTERS/law", "--adapter", "x-2shot=ADAPTERS/law", "--shots", "2"],
         "--adapter x-2shot: that is what 'x' is called with 2 examples"),
        (["--track", "benchmark", "--data-dir", str(SAMPLE_DATA), "--benchmarks", "math/gsm8k",
          "--shots", "2"], "every benchmark that is asked prescribes its own"),
        (["--track", "benchmark", "--data-dir", str(SAMPLE_DATA), "--benchmarks",
          "reasoning/piqa", "--split", "dev"], "has no items of split 'dev'"),
        (["--track", "benchmark", "--data-dir", ".", "--benchmarks", "reasoning/piqa"], "piqa"),
    ],
)  # fmt: skip
def test_mistakes(evaluate, no_model, adapters, arguments, message, tmp_path):
    given = [word.replace("ADAPTERS", str(adapters)) for word in arguments]
    done = evaluate(*given)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert message.replace("ADAPTERS", str(adapters)) in done.stderr
    assert not (tmp_path / OUT).exists()


def test_nothing_to_evaluate(cli, no_model, tiny_base_folder, tmp_path):
    options = '{"seeds": "x.jsonl", "description": "law"}'
    (tmp_path / "x.jsonl").write_text('{"instruction": "a", "response": "b"}\n')
    given = ("--set", f"define={{law: {{domain: files, options: {options}}}}}")
    done = cli("evaluate", str(tiny_base_folder), *given, "--set", "domains=[law]")
    assert done.exit_code == 1
    assert done.stderr == "Error: nothing to evaluate\n  law: no benchmark on this track\n"


def test_a_base_must_be_named_or_recorded(cli, no_model, tmp_path):
    assert "Error: no base is named\n  Name one: selfmoe evaluate BASE" in cli("evaluate").stderr
    done = cli("evaluate", "--out", "none")
    assert "none holds no evaluation to go on with\n  Name a base: " in done.stderr
    done = cli("evaluate", "./no-model")
    assert done.exit_code == 1
    assert "no-model" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--benchmarks", "math/min"), ("--track", "benchmark", "--data-dir", "."),
     ("--adapter", "."), ("--limit", "0")],
)  # fmt: skip
def test_what_is_wrong_is_said_before_a_base_is_fetched(cli, monkeypatch, arguments):
    monkeypatch.setattr("selfmoe.models.base.download", lambda *_: pytest.fail("base fetched"))
    done = cli("evaluate", "some/model", *arguments)
    assert done.exit_code == 1
    assert "some/model" not in done.stderr


def test_a_folder_holds_a_run_or_an_evaluation(evaluate, finished, cli, tmp_path, configure):
    done = evaluate("--out", "runs/demo")
    assert "Error: runs/demo is the folder of a run; choose another --out" in done.stderr
    assert evaluate().exit_code == 0
    done = cli("run", str(configure(out=str(tmp_path / OUT))))
    assert f"{tmp_path / OUT} is the folder of an evaluation; choose another --out" in done.stderr
    with pytest.raises(RunError, match="the folder of an evaluation"):
        RunDirectory(tmp_path / OUT).manifest()


# --- names of adapters ----------------------------------------------------------------------------


def test_names_of_adapters(adapters, tmp_path):
    law, tax = adapters / "law", adapters / "Tax.v2"
    assert named([law, str(tax)]) == {"law": str(law), "tax-v2": str(tax)}
    assert named({"a": law, "b": str(law)}) == {"a": str(law), "b": str(law)}
    assert named(str(law)) == {"law": str(law)}
    assert named([f"x={law}", f"{law}/"]) == {"x": str(law), "law": str(law)}
    (tmp_path / "r=16").mkdir()
    (tmp_path / "math@0123456789").mkdir()
    found = named([str(tmp_path / "r=16"), str(tmp_path / "math@0123456789")])
    assert list(found) == ["r-16", "math"]
    with pytest.raises(ConfigError, match="give it a name: --adapter NAME="):
        named([Path("/")])
    with pytest.raises(ConfigError, match="'A' is no name"):
        named({"A": law})


# --- from Python ----------------------------------------------------------------------------------


def test_from_python(tiny_base_folder, adapters, tmp_path):
    made = selfmoe.evaluate(
        tiny_base_folder,
        adapters={"law": adapters / "law"},
        benchmarks=["math/mini"],
        limit=2,
        out=tmp_path / "out",
        settings={"evaluate": {"batch_size": 1}},
    )
    assert (made.path, made.built) == (tmp_path / "out", 3)
    assert [system.name for system in made.results.systems] == ["base", "expert-law"]
    assert made.config.evaluate.batch_size == 1
    assert (made.path / made.results.samples["expert-law"]["math/mini"]).is_file()
    assert EvaluationDirectory(made.path).manifest().systems == {
        "base": "base", "expert-law": "expert",
    }  # fmt: skip
    again = selfmoe.evaluate(
        str(tiny_base_folder), adapters=[f"law={adapters / 'law'}"], benchmarks=["math/mini"],
        limit=2, out=str(tmp_path / "out"), settings={"evaluate": {"batch_size": 1}},
    )  # fmt: skip
    assert again.built == 0
    assert again.results == made.results
    with pytest.raises(UnknownNameError, match=r"no benchmark 'mini'; did you mean 'math/mini'\?"):
        selfmoe.evaluate(tiny_base_folder, benchmarks="mini", settings={"domains": ["math"]})
