import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import render
from selfmoe.testing import BenchmarkContract
from selfmoe_domain_knowledge.truthfulqa import TruthfulQA

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "truthfulqa").exists(), reason=f"no file in {REAL}")

HEADER = ["Type", "Category", "Question", "Best Answer", "Correct Answers", "Incorrect Answers"]
ROWS = [
    ["Is water wet?", "Yes", "Yes; It is; Yes; Unknown", "No; Unknown; Never; "],
    ["Do pigs fly?", "No", "No", "Yes"],
]


def write(folder: Path, rows: list[list[str]], later: bool = False) -> Path:
    path = folder / "truthfulqa" / "TruthfulQA.csv"
    path.parent.mkdir(exist_ok=True)
    header = [*HEADER[:4], *(["Best Incorrect Answer"] if later else []), *HEADER[4:], "Source"]
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(header)
        for question, best, *answers in rows:
            extra = ["never"] if later else []
            lines.writerow(["Adversarial", "Other", question, best, *extra, *answers, "here"])
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source("benchmark", write(tmp_path, ROWS))


class Contract(BenchmarkContract):
    @pytest.fixture
    def benchmarks(self, source):
        return [TruthfulQA(source)]


class TestOnFiles(Contract):
    @pytest.fixture
    def source(self, tmp_path):
        return Source("benchmark", write(tmp_path, ROWS))


@needs_real
class TestReal(Contract):
    @pytest.fixture
    def source(self):
        return Source("benchmark", REAL)


def test_options_are_those_that_are_clearly_true_or_false(source):
    benchmark = TruthfulQA(source)
    assert benchmark.choices(benchmark.items[0]) == ["Yes", "It is", "No", "Never"]
    assert benchmark.gold(benchmark.items[0]) == "Yes"
    assert benchmark.wrong(benchmark.items[0]) == "No"


def test_the_later_form_of_the_file_is_the_same(source, tmp_path):
    before = TruthfulQA(source).items
    write(tmp_path, ROWS, later=True)
    assert TruthfulQA(source).items == before


def test_the_hub_gives_the_same_items(source, monkeypatch):
    def load(path, name, split):
        assert (path, name, split) == ("truthfulqa/truthful_qa", "multiple_choice", "validation")
        choices = ["Yes", "It is", "Unknown", "No", "Unknown", "Never"]
        first = {"choices": choices, "labels": [1, 1, 1, 0, 0, 0]}
        second = {"choices": ["Yes", "No"], "labels": [0, 1]}
        return [
            {"question": ROWS[0][0], "mc2_targets": first, "mc1_targets": {}},
            {"question": ROWS[1][0], "mc2_targets": second, "mc1_targets": {}},
        ]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert TruthfulQA(Source("benchmark")).items == TruthfulQA(source).items


@pytest.mark.parametrize(
    ("chances", "share"),
    [
        ([math.log(0.3), math.log(0.1), math.log(0.4), math.log(0.2)], 0.4),
        ([-1e4, -1e4, -1e4, -1e4], 0.5),
        ([0.0, -1e4, -1e4, -1e4], 1.0),
        ([-1e4, -1e4, -5.0, -1e4], 0.0),
    ],
)
def test_the_score_is_the_share_of_true_options(source, chances, share):
    benchmark = TruthfulQA(source)
    assert benchmark.weigh(benchmark.items[0], chances)["score"] == pytest.approx(share)


def test_there_is_nothing_to_tune_on(source):
    benchmark = TruthfulQA(replace(source, split="dev"))
    assert benchmark.splits == ("test",)
    with pytest.raises(DataError, match="no items for tuning"):
        _ = benchmark.items


@pytest.mark.parametrize(
    "row", [["", "a", "a", "b"], ["a?", "", "", "b"], ["a?", "b", "b", "b"], ["a?", "b", "b", ";"]]
)
def test_malformed_rows_are_one_clear_error(tmp_path, row):
    write(tmp_path, [ROWS[0], row])
    with pytest.raises(DataError, match=r"TruthfulQA\.csv, item 2"):
        _ = TruthfulQA(Source("benchmark", tmp_path)).items


def test_a_missing_file_says_what_was_looked_for(tmp_path):
    with pytest.raises(MissingDataError, match=r"TruthfulQA\.csv"):
        TruthfulQA(Source("benchmark", tmp_path)).files()


@needs_real
def test_prompts_and_scores_equal_those_of_lm_eval():
    lm_eval = pytest.importorskip("lm_eval")
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = Path(lm_eval.__file__).parent / "tasks" / "truthfulqa"
    stock = {
        **load_yaml(folder / "truthfulqa_mc1.yaml"),
        **load_yaml(folder / "truthfulqa_mc2.yaml"),
    }
    for key in ("tag", "dataset_path", "dataset_name", "include"):
        stock.pop(key, None)
    benchmark = TruthfulQA(Source("benchmark", REAL))
    assert len(benchmark.items) == 408
    rows = [
        {
            "question": doc["question"],
            "mc1_targets": {"choices": [benchmark.gold(doc)], "labels": [1]},
            "mc2_targets": {
                "choices": list(benchmark.choices(doc)),
                "labels": [1] * len(doc["true"]) + [0] * len(doc["false"]),
            },
        }
        for doc in benchmark.items
    ]
    data = Dataset.from_list(rows)
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"validation": data}})
    for doc, theirs in list(zip(benchmark.items, data, strict=True))[::8]:
        assert render(benchmark, doc, [], "plain") == task.fewshot_context(theirs, 0)
        assert list(benchmark.choices(doc)) == task.doc_to_choice(theirs)
        chances = [-float(len(option)) for option in benchmark.choices(doc)]
        found = task.process_results(theirs, [(chance, False) for chance in chances])
        assert benchmark.weigh(doc, chances)["score"] == pytest.approx(found["acc"])
