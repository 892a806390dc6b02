"""What curation lets through, and how it counts the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfmoe.config.model import CurateConfig, RunConfig
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Example, Instruction, Rejected, Seed
from selfmoe.evaluation.code import passes
from selfmoe.pipeline.curation.duplicates import Duplicates
from selfmoe.pipeline.curation.overlap import Overlap
from selfmoe.pipeline.curation.touched import touched
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.stages.s4_curate import curate
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.files import write_json, write_jsonl
from selfmoe.testing.models import tiny_base

LETTERS = [chr(code) * 3 for code in range(ord("a"), ord("z") + 1)]
ITEM = " ".join(LETTERS)  # 26 words: 14 runs of 13, 19 runs of 8
SHORT = "one two three four five"


class Items(Benchmark):
    """A long item and a short one."""

    name = "items"
    items = ({"id": "long", "text": ITEM}, {"id": "short", "text": SHORT})

    def ask(self, doc: Mapping[str, Any]) -> Instruction:
        return Instruction(doc["text"])

    def score(self, doc: Mapping[str, Any], completion: str) -> Mapping[str, float]:
        return {"score": 0.0}

    def gold(self, doc: Mapping[str, Any]) -> str:
        return "yes"

    def wrong(self, doc: Mapping[str, Any]) -> str:
        return "no"


class Free(Domain):
    """Free text that refuses answers that say no."""

    name = "free"
    templated = frozenset()

    def seeds(self, source: Any, n: int, rng: Any) -> list[Seed]:
        return []

    def benchmarks(self, source: Any) -> list[Benchmark]:
        return [Items()]

    def accept(self, example: Example, source: Any) -> Rejected | None:
        return Rejected("says no") if example.response == "no" else None


def example(instruction: str, text: str = "", response: str = "yes", number: int = 0) -> Example:
    return Example(f"free-{number}", "free", instruction, text, response)


def a_job(
    folder: Path, rows: Sequence[Mapping[str, Any]] = (), seeds: Sequence[Seed] = (), **options: Any
) -> Any:
    """Return a job as the engine gives it, with its inputs on disk."""
    for name in ("seeds", "instructions", "responses", "out"):
        (folder / name).mkdir()
    write_jsonl(folder / "seeds" / "seeds.jsonl", [asdict(seed) for seed in seeds])
    write_jsonl(folder / "instructions" / "instructions.jsonl", rows)
    counts = {"written": len(rows) + 3, "kept": len(rows), "dropped": {"empty": 2, "duplicate": 1}}
    write_json(folder / "instructions" / "yield.json", counts)
    write_jsonl(folder / "responses" / "responses.jsonl", rows)
    session = SimpleNamespace(
        config=RunConfig(curate=CurateConfig(**options)), base=tiny_base(), display=Display()
    )
    task = SimpleNamespace(name="curate free", label="free")
    return SimpleNamespace(
        session=session,
        task=task,
        input=lambda role: folder / role,
        out=folder / "out",
        remarks=[],
    )


# --- benchmark overlap ---------------------------------------------------------------------------


def run_of(n: int) -> str:
    """Return the item's first ``n`` words among others."""
    return " ".join(["before", *LETTERS[:n], "after"])


@pytest.mark.parametrize(
    ("text", "dropped", "touched"),
    [
        ("something else entirely", False, 0),
        (run_of(7), False, 0),
        (run_of(8), False, 1),
        (run_of(12), False, 1),
        (run_of(13), True, 0),
        (ITEM.upper(), True, 0),
        # 10 of the item's 19 runs of 8 words, none of 13: more than half of the item.
        (" x ".join(" ".join(LETTERS[a:b]) for a, b in ((0, 12), (8, 20), (13, 21))), True, 0),
        (" x ".join(" ".join(LETTERS[a:b]) for a, b in ((0, 12), (12, 23))), False, 1),
        (SHORT, True, 0),
        (f" {SHORT.upper()}\n", True, 0),
        (f"{SHORT} six", False, 0),
    ],
)
def test_overlap_with_a_benchmark(tmp_path: Path, text: str, dropped: bool, touched: int) -> None:
    overlap = Overlap(Free(), a_job(tmp_path))
    assert overlap(example(text)) == ("benchmark overlap" if dropped else None)
    assert len(overlap.touched) == touched


def test_an_item_in_input_or_response_is_overlap(tmp_path: Path) -> None:
    overlap = Overlap(Free(), a_job(tmp_path))
    assert overlap(example("Sort the words.", run_of(13))) == "benchmark overlap"
    assert overlap(example("List words.", "", run_of(13))) == "benchmark overlap"


class Worded(Items):
    """Items that share a wording; the questions are their inputs."""

    items = tuple(
        {"id": str(n), "text": text} for n, text in enumerate([ITEM, SHORT, "Name a fruit."])
    )

    def ask(self, doc: Mapping[str, Any]) -> Instruction:
        if doc["text"] == "Name a fruit.":
            return Instruction(doc["text"])
        return Instruction(WORDING, doc["text"])


WORDING = "Complete the text that you find below with one word"


class Asked(Free):
    """A domain whose benchmark words its items all alike."""

    def benchmarks(self, source: Any) -> list[Benchmark]:
        return [Worded()]


@pytest.mark.parametrize(
    ("instruction", "text", "dropped", "touched"),
    [
        (WORDING, "", False, 0),
        (WORDING, "something else entirely", False, 0),
        (WORDING.upper(), " ".join(f"other{n}" for n in range(20)), False, 0),
        (WORDING, run_of(7), False, 0),
        (WORDING, run_of(8), False, 1),
        (WORDING, run_of(13), True, 0),
        (WORDING, ITEM, True, 0),
        (WORDING, SHORT, True, 0),
        ("In other words", ITEM, True, 0),
        ("Name a fruit.", "", True, 0),
    ],
)
def test_a_wording_that_items_share_is_no_overlap(
    tmp_path: Path, instruction: str, text: str, dropped: bool, touched: int
) -> None:
    overlap = Overlap(Asked(), a_job(tmp_path))
    assert overlap(example(instruction, text)) == ("benchmark overlap" if dropped else None)
    assert len(overlap.touched) == touched


def test_templated_tracks_know_only_the_same_text(tmp_path: Path) -> None:
    class Templated(Free):
        templated = frozenset({"mini"})

    overlap = Overlap(Templated(), a_job(tmp_path))
    assert overlap(example(run_of(13))) is None
    assert overlap(example("Any wording.", ITEM)) == "benchmark overlap"


# --- duplicates ----------------------------------------------------------------------------------


def test_near_duplicates(tmp_path: Path) -> None:
    seen = Duplicates(
        Free(), a_job(tmp_path, seeds=[Seed("s", "Name a large red fruit.", "", "x")])
    )
    assert seen(example("Name a  LARGE red fruit.")) == "duplicate"
    assert seen(example("Name a large green fruit.")) == "near duplicate"  # 4 of 5 words: 0.8
    assert seen(example("Name two small green nuts.")) is None
    assert seen(example("Name two small green nuts now.")) == "near duplicate"


def test_the_threshold_is_exclusive_and_can_be_set(tmp_path: Path) -> None:
    seeds = [Seed("s", "a b c d e", "", "x")]
    for name, threshold, expected in (
        ("below", 0.79, "near duplicate"),
        ("at", 0.8, None),
        ("exact", 1.0, None),
    ):
        (tmp_path / name).mkdir()
        seen = Duplicates(Free(), a_job(tmp_path / name, seeds=seeds, near_duplicate=threshold))
        assert seen(example("a b c d f")) == expected


def test_templated_tracks_drop_exact_copies_only(tmp_path: Path) -> None:
    class Templated(Free):
        templated = frozenset({"mini"})

    seen = Duplicates(Templated(), a_job(tmp_path, seeds=[Seed("s", "a b c d e f g h", "", "x")]))
    assert seen(example("a b c d e f g i")) is None
    assert seen(example("A b c d e f g i ")) == "duplicate"


def test_what_is_refused_does_not_shadow_what_comes_after(tmp_path: Path) -> None:
    rows = [row(0, "Name a fruit.", "no"), row(1, "Name a fruit.", "yes")]
    job = a_job(tmp_path, rows)
    curate(Free(), job)
    assert [kept.id for kept in read_examples(job.out)] == ["free-1"]


# --- the whole stage -----------------------------------------------------------------------------


def row(number: int, instruction: str, response: str = "yes", problem: str | None = None) -> Any:
    return {
        "id": f"free-{number}",
        "instruction": instruction,
        "input": "",
        "seeds": ["s1", "s2"],
        "response": response,
        "problem": problem,
    }


ROWS = [
    row(0, "Name a fruit that grows on trees."),
    row(1, "Name a fruit that grows on trees."),
    row(2, "Name a fruit that grows on bushes."),
    row(3, "Count to ten.", ""),
    row(4, "Count to twenty please.", "no"),
    row(5, "Tell a long story.", "x" * 600),
    row(6, SHORT),
    row(7, "Write until the end.", "", "unfinished response"),
    row(8, run_of(8)),
    row(9, "What is two plus two?", "4"),
]


def test_every_drop_is_counted_once(tmp_path: Path) -> None:
    job = a_job(tmp_path, ROWS)
    curate(Free(), job)
    counts = json.loads((job.out / "yield.json").read_text())
    assert counts["dropped"]["curate"] == {
        "duplicate": 1,
        "near duplicate": 1,
        "empty response": 1,
        "says no": 1,
        "longer than the context": 1,
        "benchmark overlap": 1,
        "unfinished response": 1,
    }
    assert (
        counts["kept"] + sum(counts["dropped"]["curate"].values()) == counts["instructions"] == 10
    )
    assert counts["instructions"] + sum(counts["dropped"]["brainstorm"].values()) == 13
    assert counts["written"] == 13
    assert counts["overlap_8gram"] == 1
    kept = read_examples(job.out)
    assert [one.id for one in kept] == ["free-0", "free-8", "free-9"]
    assert {one.seeds for one in kept} == {("s1", "s2")}
    assert sorted(path.name for path in job.out.iterdir()) == [
        *("examples.jsonl", "instructions.jsonl", "seeds.jsonl", "yield.json")
    ]


def test_overlap_can_be_let_through(tmp_path: Path) -> None:
    job = a_job(tmp_path, [row(0, SHORT)], contamination=False)
    curate(Free(), job)
    assert len(read_examples(job.out)) == 1


def test_too_few_examples_stop_the_run_and_say_why(tmp_path: Path) -> None:
    job = a_job(tmp_path, ROWS, min_examples=4)
    with pytest.raises(StageError) as caught:
        curate(Free(), job)
    message = str(caught.value)
    assert message.startswith("curate kept 3 of 10 examples of domain 'free' (")
    for part in ("1 says no", "curate.min_examples is 4", "Raise brainstorm.n"):
        assert part in message
    assert not list(job.out.iterdir())


# --- several answers to one task ------------------------------------------------------------------


def answered(response: str, samples: Sequence[str], problem: str | None = None) -> dict[str, Any]:
    made = {**asdict(example("How many?", response=response)), "problem": problem}
    return made | ({"samples": [{"response": sample} for sample in samples]} if samples else {})


def curated(folder: Path, row: Mapping[str, Any], samples: int, **options: Any) -> Any:
    job = a_job(folder, [row], contamination=False, **options)
    job.session.config = job.session.config.model_copy(
        update={"respond": job.session.config.respond.model_copy(update={"samples": samples})}
    )
    curate(Free(), job)
    return read_examples(job.out)


def test_the_majority_replaces_the_greedy_answer(tmp_path: Path) -> None:
    row = answered("It is\n5", ["So\n4", "4", "Then\n4"])
    (kept,) = curated(tmp_path, row, 3, agreement=0.5)
    assert kept.response == "So\n4"


def test_without_the_option_samples_change_nothing(tmp_path: Path) -> None:
    (kept,) = curated(tmp_path, answered("5", ["4", "4", "4"]), 3)
    assert kept.response == "5"


def test_tasks_without_agreement_are_counted(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="1 no agreement"):
        curated(tmp_path, answered("5", ["4", "3"]), 2, agreement=0.5)


def test_samples_rescue_an_answer_that_never_ended(tmp_path: Path) -> None:
    row = answered("5 5 5 5", ["4", "4"], "unfinished response")
    (kept,) = curated(tmp_path, row, 2, agreement=0.6)
    assert kept.response == "4"


def test_answers_that_never_ended_count_among_those_asked_for(tmp_path: Path) -> None:
    row = answered("4", ["4"])  # the third and fourth never ended
    with pytest.raises(StageError, match="1 no agreement"):
        curated(tmp_path, row, 3, agreement=0.75)


@pytest.mark.parametrize("allowed", [True, False])
def test_answers_are_verified_without_a_sandbox_only_if_that_is_allowed(
    tmp_path: Path, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Runs(Free):
        """Runs answers."""

        def verify(self, example: Example, source: Any) -> Rejected | None:
            return None if passes(example.response) else Rejected("fails")

    monkeypatch.setattr("selfmoe.evaluation.sandbox.best_tier", lambda: None)
    job = a_job(tmp_path, [answered("x = 4", [])], contamination=False, verify=True)
    evaluate = job.session.config.evaluate.model_copy(update={"unsafe_code": allowed})
    job.session.config = job.session.config.model_copy(update={"evaluate": evaluate})
    if allowed:
        curate(Runs(), job)
        assert len(read_examples(job.out)) == 1
    else:
        with pytest.raises(StageError, match="no sandbox"):
            curate(Runs(), job)
    with pytest.raises(StageError, match="no sandbox"):
        passes("x = 4")


def test_a_domain_may_verify_answers(tmp_path: Path) -> None:
    class Strict(Free):
        """Refuses what is not four."""

        def verify(self, example: Example, source: Any) -> Rejected | None:
            return None if example.response == "4" else Rejected("fails its test")

    job = a_job(tmp_path, [answered("5", [])], contamination=False, verify=True)
    with pytest.raises(StageError, match="1 fails its test"):
        curate(Strict(), job)


@pytest.mark.parametrize(
    ("asked", "checked"), [(True, True), (False, False), (["free"], True), (["other"], False)]
)
def test_all_domains_verify_or_those_named(tmp_path: Path, asked: Any, checked: bool) -> None:
    class Strict(Free):
        """Refuses everything."""

        def verify(self, example: Example, source: Any) -> Rejected | None:
            return Rejected("fails its test")

    job = a_job(tmp_path, [answered("5", [])], contamination=False, verify=asked)
    if checked:
        with pytest.raises(StageError, match="1 fails its test"):
            curate(Strict(), job)
    else:
        curate(Strict(), job)
        assert len(read_examples(job.out)) == 1


# --- seeds as data, and a share of it ------------------------------------------------------------


def row_of(number: int) -> dict[str, Any]:
    task = {"id": f"free-{number}", "instruction": f"task {number}", "input": "", "seeds": []}
    return {**task, "response": "yes", "problem": None}


def test_seeds_can_be_what_experts_learn(tmp_path):
    seeds = [Seed(f"s{n}", f"ask {n}", "", word) for n, word in enumerate(["a", "b", "no"])]
    seeds.append(Seed("s3", ITEM, "", "leaked"))
    job = a_job(tmp_path, [row_of(1)], seeds, data="seeds", agreement=0.9)
    curate(Free(), job)
    kept = read_examples(job.out)
    assert [(e.id, e.response, e.continuation) for e in kept] == [
        ("s0", "a", " a"), ("s1", "b", " b"),
    ]  # fmt: skip
    counts = json.loads((job.out / "yield.json").read_text("utf-8"))
    assert (counts["written"], counts["instructions"], counts["kept"]) == (4, 4, 2)
    assert counts["dropped"]["curate"] == {"says no": 1, "benchmark overlap": 1}
    written = (job.out / "instructions.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in written] == ["s0", "s1", "s2", "s3"]


def test_a_share_of_the_examples_is_kept_from_the_front(tmp_path):
    job = a_job(tmp_path, [row_of(n) for n in range(10)], share=0.25)
    curate(Free(), job)
    assert [e.id for e in read_examples(job.out)] == ["free-0", "free-1"]
    counts = json.loads((job.out / "yield.json").read_text("utf-8"))
    assert counts["dropped"]["curate"] == {"beyond curate.share": 8}


def test_items_that_share_words_in_a_row_with_the_data_are_touched():
    long = example(" ".join(["x", *LETTERS[3:11], "y"]))
    assert touched(Items(), [long]) == {"long"}
    assert touched(Items(), [example(SHORT.upper())]) == {"short"}
    assert touched(Items(), [example(" ".join(LETTERS[3:10]))]) == set()
