"""What an expert learned from, as ``selfmoe explain-data`` shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfmoe.contracts.records import Example
from selfmoe.models.fitting.batches import encode
from selfmoe.reporting.learned import learned
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import read_jsonl
from selfmoe.testing.models import tiny_tokenizer

WRITTEN = Example(
    "c-1", "chem", "What is Na?", "", "sodium", ("s1",), continuation=" sodium",
    tokens=(220, 115, 111), solved=("s2", "s3"),
)  # fmt: skip
HAND = Example("c-2", "chem", "And K?", "At once.", "potassium")


def test_the_target_is_that_of_training() -> None:
    tokenizer = tiny_tokenizer()
    for example in (WRITTEN, HAND):
        found, row = learned(example, tokenizer), encode(example, tokenizer)
        assert list(found.ids) == row.ids[row.prompt :]
        assert len(found.target) == len(found.ids)
        assert len(found.prompt) == row.prompt
        assert "".join(found.prompt).endswith("### Response:\n")
    assert learned(WRITTEN, tokenizer).written
    assert not learned(HAND, tokenizer).written


def test_of_a_run_it_shows_the_tokens_the_base_wrote(cli: Any, finished: Path) -> None:
    shown = json.loads(cli("explain-data", "runs/demo", "anything", "--json").output)
    (stage,) = (finished / "respond").glob("anything@*/responses.jsonl")
    written = {row["id"]: row for row in read_jsonl(stage)}
    assert shown
    for one in shown:
        row = written[one["example"]["id"]]
        assert one["ids"][:-1] == row["tokens"] == one["example"]["tokens"]
        assert "".join(one["target"][:-1]) == row["continuation"]
        assert one["example"]["solved"] == row["solved_seeds"]
        assert one["example"]["response"] == row["continuation"].strip()
    text = cli("explain-data", "runs/demo", "anything", "--limit", "1").output
    assert "as the base wrote them; the last one ends the text" in text
    assert f"1 of {len(shown)} examples of 'anything'." in text


def test_unknown_names_are_told(cli: Any, finished: Path) -> None:
    domain = cli("explain-data", "runs/demo", "anythin")
    assert domain.exit_code == 1
    assert "did you mean 'anything'?" in domain.output
    example = cli("explain-data", "runs/demo", "anything", "--id", "nobody")
    assert example.exit_code == 1
    assert "no example named 'nobody'" in example.output
    seed = cli("explain-data", "runs/demo", "anything", "--seed", "7")
    assert seed.exit_code == 1


def test_damaged_data_is_refused(cli: Any, finished: Path) -> None:
    manifest = RunDirectory(finished).manifest()
    (cell,) = (c for name, c in manifest.all_cells() if name.stage == "curate")
    path = finished / cell.path / "examples.jsonl"
    path.write_text(path.read_text("utf-8").replace("a", "b", 1), "utf-8")
    found = cli("explain-data", "runs/demo", "anything")
    assert found.exit_code == 1
    assert "cell damaged" in found.output
