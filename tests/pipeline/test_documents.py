"""``respond.documents``: what stands in the prompt, what is remembered of it, what is made anew."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import selfmoe
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import ConfigError, MissingDataError
from selfmoe.contracts.prompts import Prompts
from selfmoe.contracts.records import Example, Instruction, PassageRef, Seed
from selfmoe.pipeline.answering import Answering
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.retrieval import Finder, read_passages
from selfmoe.pipeline.stages.s3_respond import _prompt, _settings
from selfmoe.reporting.html.work import funnels
from selfmoe.reporting.model import Retrieved
from selfmoe.reporting.results import read_results
from selfmoe.reporting.terminal.tables import yield_table
from selfmoe.store.files import read_jsonl
from selfmoe.testing.models import tiny_tokenizer

NOTES = "Say what it is.\n\nSay nothing at all, and say it well.\n\nA pear.\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "say.txt").write_text(NOTES)
    return tmp_path / "notes"


# --- prompts --------------------------------------------------------------------------------------


def test_passages_stand_between_solved_seeds_and_the_task() -> None:
    seeds, task = [Seed("1", "Add.", "1 and 2", "3")], Instruction("Which organ?", "")
    assert Prompts(respond_header="Tasks.").respond(seeds, task, ["One.", "Two."]) == (
        "Tasks.\n\nInstruction: Add.\nInput: 1 and 2\nResponse: 3\n\n"
        "Document: One.\n\nDocument: Two.\n\nInstruction: Which organ?\nResponse:"
    )
    assert Prompts().respond(seeds, task) == Prompts().respond(seeds, task, [])


def prompted(notes: Path, context: int, **respond: Any) -> tuple[dict[str, Any], str | None]:
    """Return row and prompt of one task, with two seeds, in a context of so many bytes."""
    base = SimpleNamespace(tokenizer=tiny_tokenizer(), context=context)
    config = RunConfig.model_validate({"respond": {"shots": 2, "max_new_tokens": 10, **respond}})
    job: Any = SimpleNamespace(
        session=SimpleNamespace(config=config, base=base), seed=lambda *purpose: 0
    )
    seeds = [Seed(str(n), "Add.", f"{n} and 2", str(n + 2)) for n in range(2)]
    task = {"id": "x", "instruction": "Say", "input": "what it is"}
    return _prompt(job, Answering(Prompts()), seeds, Finder(read_passages(notes, 100)), task)


def test_where_there_is_no_room_passages_go_before_seeds(notes: Path) -> None:
    whole, text = prompted(notes, 10_000)
    assert text is not None
    assert text.count("Document: ") == len(whole["sources"]) == 2
    digest = hashlib.sha256(b"Say what it is.").hexdigest()[:10]
    assert whole["sources"][0] == {"document": "say.txt", "number": 1, "hash": digest}
    assert whole["sources_dropped"] == 0
    size, seen = len(tiny_tokenizer()(text).input_ids), set()
    for room in range(size, 0, -1):
        row, text = prompted(notes, room + 10)
        shown, solved = row["sources"], row["solved_seeds"]
        assert shown == whole["sources"][: len(shown)]
        assert row["sources_dropped"] == 2 - len(shown)
        assert not shown or len(solved) == 2
        assert (text is None) == (row["problem"] == "prompt too long")
        if text is not None:
            assert len(tiny_tokenizer()(text).input_ids) <= room
            assert (text.count("Document: "), text.count("Response: ")) == (len(shown), len(solved))
        seen.add((len(shown), len(solved), text is None))
    assert seen == {(2, 2, False), (1, 2, False), (0, 2, False), (0, 1, False), (0, 0, False),
                    (0, 0, True)}  # fmt: skip


def test_not_more_passages_than_asked_for(notes: Path) -> None:
    row, _ = prompted(notes, 10_000, retrieved=1)
    assert [source["number"] for source in row["sources"]] == [1]
    assert row["sources_dropped"] == 0


# --- provenance -----------------------------------------------------------------------------------


def test_examples_keep_their_sources() -> None:
    source = PassageRef("deep/a.md", 3, "0123456789")
    example = Example("1", "math", "Add.", "1", "2", ("s",), (source,))
    row = json.loads(json.dumps(example.to_json()))
    assert row["sources"] == [{"document": "deep/a.md", "number": 3, "hash": "0123456789"}]
    assert Example.from_json(row) == example


def test_examples_of_before_are_read_and_written_as_before() -> None:
    row = {"id": "1", "domain": "d", "instruction": "a", "input": "", "response": "b", "seeds": []}
    assert Example.from_json(row).sources == ()
    assert json.dumps(Example.from_json(row).to_json()) == json.dumps(row)


# --- a run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path, plugin_code: str
) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    shutil.copytree(tiny_base_folder, folder / "base")
    (folder / "notes").mkdir()
    (folder / "notes" / "say.txt").write_text(NOTES)
    return folder


def config(place: Path, documents: Any, **changes: Any) -> RunConfig:
    return resolve(
        {
            "base": str(place / "base"), "device": "cpu", "plugin_dir": str(place),
            "domains": ["anything", "whatever"], "out": str(place / "run"), "seeds": {"n": 5},
            "brainstorm": {"n": 4, "max_new_tokens": 8},
            "respond": {"max_new_tokens": 8, "documents": documents, **changes},
            "specialise": {"options": {"max_steps": 1, "r": 2}},
            "compose": {"ties": {"merge": "ties"}},
            "evaluate": {"limit": 1, "base_shots": 0},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """Return a run in which one of two domains has documents."""
    return selfmoe.run(config(place, {"anything": str(place / "notes")}, samples=1)).path


def cell(run: Path, folder: str) -> Path:
    (found,) = run.glob(f"{folder}@*")
    return found


def test_every_example_says_what_stood_in_its_prompt(place: Path, run: Path) -> None:
    known = {one.ref: one.text for one in read_passages(place / "notes", 100)}
    examples = read_examples(cell(run, "data/anything"))
    rows = {row["id"]: row for row in read_jsonl(cell(run, "respond/anything") / "responses.jsonl")}
    assert examples
    for example in examples:
        assert {known[ref] for ref in example.sources} == set(NOTES.strip().split("\n\n")[:2])
        assert rows[example.id]["sources_dropped"] == 0
    for folder, file in (("respond", "responses"), ("data", "examples")):
        for row in read_jsonl(cell(run, f"{folder}/whatever") / f"{file}.jsonl"):
            assert "sources" not in row


def test_the_report_counts_answers_with_passages(run: Path) -> None:
    results = read_results(run)
    counts, others = (results.data["0"][domain] for domain in ("anything", "whatever"))
    kept = counts.kept
    assert counts.retrieved == Retrieved(answers=counts.instructions, kept=kept, no_room=0)
    assert others.retrieved is None
    table = yield_table(results)
    assert table is not None
    (column,) = [one for one in table.columns if one.header == "kept with passages"]
    assert list(column.cells) == [str(kept), "–"]
    asked = {"config": {"brainstorm": {"n": 4}}}
    assert [one.passages for one in funnels(results, asked)] == [str(kept), ""]
    assert "after passages of documents" in (run / "report" / "index.html").read_text("utf-8")


# --- keys -----------------------------------------------------------------------------------------


def keys(config: RunConfig) -> dict[str, str]:
    (plan,) = make_plans(config)
    return {task.name: task.cell.key for task in plan.tasks}


def changed(one: RunConfig, other: RunConfig) -> Iterator[str]:
    before, after = keys(one), keys(other)
    return (name for name in before if before[name] != after[name])


def test_without_documents_the_new_settings_are_in_no_key(place: Path) -> None:
    plain = config(place, None)
    assert not list(changed(plain, config(place, None, retrieved=1, passage_words=7)))
    (plan,) = make_plans(plain)
    assert _settings(plan, "anything") == {"shots": 5, "max_new_tokens": 8, "samples": 0}


def test_documents_are_in_the_keys_of_their_domain_by_content(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "notes", tmp_path / "other")
    (tmp_path / "other" / "unread.pdf").write_bytes(b"")
    given = config(place, {"anything": str(place / "notes")})
    found = set(changed(config(place, None), given))
    assert "respond anything" in found
    assert "respond whatever" not in found
    assert not any(name.startswith(("seeds", "brainstorm")) for name in found)
    assert not list(changed(given, config(place, {"anything": str(tmp_path / "other")})))
    for setting in ({"retrieved": 1}, {"passage_words": 7}):
        again = config(place, {"anything": str(place / "notes")}, **setting)
        assert "respond anything" in changed(given, again)
    (tmp_path / "other" / "say.txt").write_text(NOTES + "\nMore.")
    assert "respond anything" in changed(
        given, config(place, {"anything": str(tmp_path / "other")})
    )


def test_one_folder_is_for_all_domains(place: Path) -> None:
    found = set(changed(config(place, None), config(place, str(place / "notes"))))
    assert {"respond anything", "respond whatever"} <= found


# --- mistakes -------------------------------------------------------------------------------------


def test_mistakes_are_said_before_anything_is_done(place: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"nowhere does not exist; respond\.documents"):
        make_plans(config(place, str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="no domain 'anythin'; did you mean 'anything'"):
        config(place, {"anythin": str(place / "notes")})
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(selfmoe.SelfmoeError, match="not UTF-8"):
        make_plans(config(place, {"whatever": str(tmp_path)}))


def test_folders_are_found_from_anywhere(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert config(place, "notes").respond.folder("anything") == place / "notes"
    named = config(place, {"whatever": "notes"}).respond
    assert (named.folder("whatever"), named.folder("anything")) == (place / "notes", None)
