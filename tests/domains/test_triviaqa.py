import json
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import choose_shots, render
from selfmoe.testing import BenchmarkContract
from selfmoe_domain_knowledge.triviaqa import TriviaQA


def upstream(number: int) -> dict:
    return {
        "Answer": {
            "Aliases": [f"The Number {number}", f"No. {number}\n"],
            "NormalizedAliases": [f"number {number}", f"no {number}", f"{number}th"],
            "Type": "FreeForm",
            "Value": f"Number {number}",
        },
        "EntityPages": [],
        "Question": f" Which number is {number}? ",
        "QuestionId": f"tc_{number}",
        "QuestionSource": "http://example.org/",
    }


def write(path: Path, numbers: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"Data": [upstream(n) for n in numbers], "Version": 1.0}), "utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path / "triviaqa" / "qa" / "web-dev.json", range(60))
    write(tmp_path / "triviaqa" / "qa" / "wikipedia-dev.json", range(50, 70))
    return tmp_path


class Contract(BenchmarkContract):
    @pytest.fixture
    def benchmarks(self, source):
        return [TriviaQA(source)]


class TestOnFiles(Contract):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


class TestTuning(Contract):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files, "dev")


def test_every_question_is_shown_asked_or_kept_for_tuning(files):
    test, dev = (TriviaQA(Source("benchmark", files, split)) for split in ("test", "dev"))
    parts = [{doc["id"] for doc in docs} for docs in (test.pool, test.items, dev.items)]
    assert [len(part) for part in parts] == [25, 42, 3]
    assert set.union(*parts) == {f"triviaqa-tc_{n}" for n in range(70)}
    assert dev.pool == test.pool
    assert test.extra == {"edition": "rc"}


@pytest.mark.parametrize("folder", ["triviaqa-unfiltered", ""])
def test_the_unfiltered_edition_is_read_too(tmp_path, folder):
    write(tmp_path / "triviaqa" / folder / "unfiltered-web-dev.json", range(60))
    benchmark = TriviaQA(Source("benchmark", tmp_path))
    assert len(benchmark.items) == 33
    assert benchmark.extra["edition"].startswith("unfiltered")
    assert [path.name for path in benchmark.files()] == ["unfiltered-web-dev.json"]
    assert TriviaQA(Source("benchmark", tmp_path / "triviaqa")).items == benchmark.items


def hub_row(number: int) -> dict:
    row = upstream(number)
    answer = row["Answer"]
    return {
        "question": row["Question"].strip(),
        "question_id": row["QuestionId"],
        "answer": {
            "aliases": [name.strip() for name in answer["Aliases"]],
            "normalized_aliases": answer["NormalizedAliases"],
            "value": answer["Value"],
        },
    }


def test_the_hub_gives_the_same_items(files, monkeypatch):
    def load(path, name, split):
        assert (path, name, split) == ("mandarjoshi/trivia_qa", "rc.nocontext", "validation")
        return [hub_row(number) for number in (*range(50, 70), *range(60))]

    monkeypatch.setattr("datasets.load_dataset", load)
    for split in ("test", "dev"):
        hub = TriviaQA(Source("benchmark", None, split))
        local = TriviaQA(Source("benchmark", files, split))
        assert (hub.items, hub.pool) == (local.items, local.pool)


def test_all_names_are_right(files):
    benchmark = TriviaQA(Source("benchmark", files))
    doc = next(doc for doc in benchmark.items if doc["id"] == "triviaqa-tc_69")
    for name in ("number 69", "The number 69.", "no 69", "69th"):
        assert benchmark.score(doc, name) == {"score": 1.0, "lenient": 1.0}
    assert benchmark.score(doc, "number 69, I think") == {"score": 0.0, "lenient": 1.0}
    assert benchmark.extract(doc, "The Number 69.\nQuestion:") == "number 69"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read"),
        ("[]", "holds no items"),
        ('{"Data": []}', "holds no items"),
        ('{"Data": [{"Question": "a"}]}', "item 1: field 'Answer' is missing"),
        ('{"Data": [{"Answer": {"Aliases": ["b"]}, "Question": "a"}]}', "field 'QuestionId'"),
        ('{"Data": [{"Answer": {}, "Question": "a", "QuestionId": "1"}]}', "'Aliases' must be"),
    ],
)
def test_malformed_files_are_one_clear_error(files, content, message):
    (files / "triviaqa" / "qa" / "web-dev.json").write_text(content)
    with pytest.raises(DataError, match=message):
        _ = TriviaQA(Source("benchmark", files)).items


def test_missing_files_say_what_was_looked_for(tmp_path):
    with pytest.raises(MissingDataError, match=r"qa/web-dev\.json"):
        TriviaQA(Source("benchmark", tmp_path)).files()


def test_prompts_equal_those_of_lm_eval(files):
    lm_eval = pytest.importorskip("lm_eval")
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    stock = load_yaml(Path(lm_eval.__file__).parent / "tasks" / "triviaqa" / "default.yaml")
    for key in ("dataset_path", "dataset_name", "training_split"):
        stock.pop(key)
    benchmark = TriviaQA(Source("benchmark", files))
    shots = choose_shots(benchmark, None, None)
    theirs = {f"triviaqa-tc_{n}": hub_row(n) for n in range(70)}
    data = Dataset.from_list([theirs[doc["id"]] for doc in benchmark.items])
    shown = {"sampler": "first_n", "samples": [theirs[doc["id"]] for doc in shots]}
    task = ConfigurableTask(
        config={
            **stock,
            "fewshot_config": shown,
            "custom_dataset": lambda **_: {"validation": data},
        }
    )
    for doc, row in zip(benchmark.items, data, strict=True):
        assert render(benchmark, doc, shots, "plain") == task.fewshot_context(row, 5)
