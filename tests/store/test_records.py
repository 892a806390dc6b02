"""Records in files: what was committed can be read, and what is damaged or foreign is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfmoe.contracts.errors import RunError
from selfmoe.reporting.claims.model import ClaimsResults
from selfmoe.reporting.comparison.model import ComparisonResults
from selfmoe.reporting.comparison.results import read_comparison
from selfmoe.reporting.continual.model import ContinualResults
from selfmoe.reporting.model import GrowthResults, RunResults
from selfmoe.reporting.results import read_results
from selfmoe.store.directory import RunDirectory
from selfmoe.store.record import FileRecord, read_record

RESULTS = Path(__file__).parents[2] / "results"
OTHERS = {
    "arrivals",
    "exported",
    "exported-adapters",
    "forecasts",
    "former-data",
    "generation",
    "gguf-tokens",
    "kills",
    "label-noise",
    "llamacpp",
    "many-decoding",
    "many-experts",
    "overlap",
    "planted",
    "served",
    "servers",
    "serving",
    "smollm2-cross-check",
    "smollm2-retention",
    "speed",
    "steady",
    "trainers",
    "trainers-sdft",
    "training",
    "tuning-experts",
    "tuning-smollm2",
    "vllm",
    "whole",
    "worker-demo",
    "worker-kills",
}
"""Files that neither a run nor a comparison nor an addition made."""


class Numbers(FileRecord):
    FORMAT = 2

    numbers: dict[str, float]


def kind_of(values: dict) -> type[FileRecord]:
    if "expert" in values:
        return GrowthResults
    if "claims" in values:
        return ClaimsResults
    if "arrivals" in values:
        return ContinualResults
    return ComparisonResults if "root_seed" in values else RunResults


COMMITTED = [path.stem for path in sorted(RESULTS.glob("*.json")) if path.stem not in OTHERS]


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_results_are_read_and_written_as_they_are(name):
    values = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    assert kind_of(values).model_validate(values).to_json() == values


READERS = {
    "manifest.json": lambda run: RunDirectory(run).manifest(),
    "work/plan.json": lambda run: RunDirectory(run).intact_plan(),
    "report/results.json": read_results,
    "comparison/results.json": read_comparison,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("found", "hint"), [(0, "makes it again: selfmoe "), (2, "upgrade ")])
def test_another_format_is_refused_with_what_to_do(tmp_path, name, found, hint):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"format": found, "whatever": 1}))
    with pytest.raises(RunError) as caught:
        READERS[name](tmp_path)
    assert f"{path} has format {found}, this selfmoe reads 1; " in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "it is not what was written"),
        ("{}", "it lacks 'format'"),
        ('{"format": 2}', "it lacks 'numbers'"),
        ('{"format": 2, "numbers": {"a": "1"}}', "it is not what was written: numbers.a: "),
        ('{"format": 2, "numbers": {}, "more": 1}', "it is not what was written: more: "),
    ],
)
def test_damage_says_what_is_wrong_and_what_to_do(tmp_path, text, said):
    path = tmp_path / "numbers.json"
    path.write_text(text)
    with pytest.raises(RunError) as caught:
        read_record(Numbers, path, "selfmoe again")
    assert str(caught.value).startswith(f"{path} is damaged: {said}")
    assert str(caught.value).endswith("\n  This makes it again: selfmoe again")


def test_what_is_written_is_read(tmp_path):
    record = Numbers(format=Numbers.FORMAT, numbers={"a": 0.1})
    record.write(tmp_path / "numbers.json")
    assert read_record(Numbers, tmp_path / "numbers.json", "") == record
