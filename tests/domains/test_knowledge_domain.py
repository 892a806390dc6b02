import random
from itertools import islice
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import render
from selfmoe.testing.domains import DomainContract
from selfmoe_domain_knowledge import Knowledge
from selfmoe_domain_knowledge.mmlu import MMLU

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "mmlu").exists(), reason=f"no MMLU files in {REAL}")


def write(folder: Path, split: str, subject: str, rows: list[str]) -> Path:
    path = folder / "mmlu" / split / f"{subject}_{split}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for subject in ("anatomy", "world_religions", "virology"):
        numbered = [f'"{subject}, question {n}?",w,x,y,z,{"ABCD"[n % 4]}' for n in range(10)]
        write(tmp_path, "dev", subject, numbered)
        if subject != "virology":
            tested = [row.replace("question", "item") for row in numbered]
            write(tmp_path, "test", subject, tested[: 3 if subject == "anatomy" else 10])
    return tmp_path


class TestKnowledgeOnFiles(DomainContract):
    @pytest.fixture
    def domain(self):
        return Knowledge()

    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


@needs_real
class TestKnowledgeReal(DomainContract):
    n_seeds = 100

    @pytest.fixture
    def domain(self):
        return Knowledge()

    @pytest.fixture
    def source(self):
        return Source("benchmark", REAL)


def test_subjects_take_turns_and_are_reported(files):
    benchmark = MMLU(Source("benchmark", files))
    assert [doc["subject"] for doc in islice(benchmark.items, 4)] == [
        "anatomy",
        "world_religions",
        "anatomy",
        "world_religions",
    ]
    assert len(benchmark.items) == 13
    assert benchmark.extra["subjects"] == ["anatomy", "world_religions"]


def test_letters_and_indices_with_a_header_mean_the_same(files):
    before = list(MMLU(Source("benchmark", files)).items)
    for path in (files / "mmlu" / "test").iterdir():
        lines = path.read_text("utf-8").splitlines()
        exported = [f"{line[:-1]}{'ABCD'.index(line[-1])}" for line in lines]
        header = "question,choice0,choice1,choice2,choice3,answer"
        path.write_text("\n".join([header, *exported]) + "\n", "utf-8")
    assert list(MMLU(Source("benchmark", files)).items) == before


def test_the_files_it_reads_are_named(files):
    source = Source("benchmark", files)
    assert [path.name for path in Knowledge().files(source)] == [
        "anatomy_dev.csv",
        "virology_dev.csv",
        "world_religions_dev.csv",
    ]
    assert [path.name for path in MMLU(source).files()] == [
        "anatomy_test.csv",
        "world_religions_test.csv",
    ]
    assert not MMLU(Source("benchmark")).files()
    assert not Knowledge().files(Source("benchmark"))
    assert not Knowledge().files(Source("mini", files))


def test_the_hub_gives_the_same_items(files, monkeypatch):
    local = MMLU(Source("benchmark", files))

    def load(path, name, split):
        assert (path, name, split) == ("cais/mmlu", "all", "test")
        by_subject = sorted(local.items, key=lambda doc: (doc["subject"] == "anatomy", doc["id"]))
        return [{**doc, "answer": "ABCD".index(doc["answer"])} for doc in by_subject]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert list(MMLU(Source("benchmark")).items) == list(local.items)


def test_dev_questions_that_are_items_are_no_seeds(files):
    source = Source("benchmark", files)
    write(files, "test", "anatomy", ['"VIROLOGY,  question 3?",w,x,y,z,D'])
    seeds = Knowledge().seeds(source, 29, random.Random(0))
    assert not any(seed.id == "mmlu-virology-dev-3" for seed in seeds)
    with pytest.raises(DataError, match="29 dev questions"):
        Knowledge().seeds(source, 30, random.Random(0))


def test_answers_agree_by_the_letter_chosen():
    track = Source("benchmark")
    assert {Knowledge().answer(form, track) for form in ("B", "(B)", "B. two", "So: (B)")} == {"B"}
    assert Knowledge().answer("Well.\nA dog", track) == "A dog"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no items"),
        (["question,A,B,C,D,answer"], "holds no items"),
        (["a?,w,x,y,z,A", "b?,w,x,y"], "line 2: 4 columns, expected 6"),
        (["a?,w,x,y,z,E"], "item 1: answer 'E'"),
        (["a?,w,x,y,z,4"], "item 1: answer '4'"),
        (['"a?,w,x,y,z,A'], "cannot read"),
    ],
)
def test_malformed_files_are_one_clear_error(files, rows, message):
    write(files, "test", "anatomy", rows)
    with pytest.raises(DataError, match=message):
        _ = MMLU(Source("benchmark", files)).items


def test_missing_files_say_what_was_looked_for(tmp_path, files):
    with pytest.raises(DataError, match="val"):
        MMLU(Source("benchmark", files, "dev")).files()
    for path in (files / "mmlu" / "test").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"<subject>_test\.csv"):
        MMLU(Source("benchmark", files)).files()


@needs_real
def test_prompts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
    benchmark = MMLU(Source("benchmark", REAL))
    for subject in benchmark.extra["subjects"]:
        docs = [doc for doc in benchmark.items if doc["subject"] == subject]
        rows = [{**doc, "answer": "ABCD".index(doc["answer"])} for doc in docs]
        data = {"test": Dataset.from_list(rows)}
        data["dev"] = data["test"]
        stock = load_yaml(folder / f"mmlu_{subject}.yaml")
        for key in ("tag", "dataset_path", "dataset_name", "task_alias"):
            stock.pop(key, None)
        task = ConfigurableTask(config={**stock, "custom_dataset": lambda d=data, **_: d})
        for doc, theirs in list(zip(docs, data["test"], strict=True))[::5]:
            assert render(benchmark, doc, [], "plain") == task.fewshot_context(theirs, 0)
            assert list(benchmark.choices(doc)) == task.doc_to_choice(theirs)
            assert benchmark.gold(doc) == "ABCD"[task.doc_to_target(theirs)]
