import json
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import choose_shots, render
from selfmoe.testing import BenchmarkContract
from selfmoe_domain_knowledge.nq_open import NQOpen

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "nq_open").exists(), reason=f"no NQ-open in {REAL}")
STOCK = "nq_open/nq_open.yaml"


def rows(split: str, n: int) -> list[dict]:
    return [{"question": f"who is {split} {i}", "answer": [f"The {i}. man", f"mr {i}"]}
            for i in range(n)]  # fmt: skip


def write(folder: Path, split: str, lines: list[dict]) -> None:
    path = folder / "nq_open" / f"NQ-open.{split}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, "dev", rows("dev", 40))
    return tmp_path


class Contract(BenchmarkContract):
    @pytest.fixture
    def benchmarks(self, source):
        return [NQOpen(source)]


class TestOnFiles(Contract):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


class TestTuning(Contract):
    @pytest.fixture
    def source(self, files):
        write(files, "train", rows("train", 60))
        return Source("benchmark", files, "dev")


@needs_real
class TestReal(Contract):
    @pytest.fixture
    def source(self):
        return Source("benchmark", REAL)


def test_without_a_training_file_the_last_questions_are_shown_and_not_asked(files):
    benchmark = NQOpen(Source("benchmark", files))
    assert [len(benchmark.items), len(benchmark.pool)] == [15, 25]
    assert benchmark.pool[0]["id"] == "nq-open-dev-15"
    assert benchmark.extra == {"examples_from": "reserved dev questions"}
    assert [path.name for path in benchmark.files()] == ["NQ-open.dev.jsonl"]


def test_with_a_training_file_every_question_is_asked(files):
    write(files, "train", rows("train", 60))
    test, dev = (NQOpen(Source("benchmark", files, split)) for split in ("test", "dev"))
    assert [len(test.items), len(test.pool), len(dev.items)] == [40, 25, 35]
    assert test.pool[0]["id"] == "nq-open-train-0"
    assert dev.items[0]["id"] == "nq-open-train-25"
    assert test.extra == {"examples_from": "train"}
    assert [path.name for path in test.files()] == ["NQ-open.dev.jsonl", "NQ-open.train.jsonl"]
    assert [path.name for path in dev.files()] == ["NQ-open.train.jsonl"]


def test_there_is_nothing_to_tune_on_without_a_training_file(files):
    with pytest.raises(MissingDataError, match=r"NQ-open\.train\.jsonl"):
        NQOpen(Source("benchmark", files, "dev")).files()


def test_the_hub_gives_the_same_items(files, monkeypatch):
    write(files, "train", rows("train", 60))

    def load(path, name, split):
        assert (path, name) == ("google-research-datasets/nq_open", None)
        return rows("dev", 40) if split == "validation" else rows("train", 60)

    monkeypatch.setattr("datasets.load_dataset", load)
    for split in ("test", "dev"):
        hub = NQOpen(Source("benchmark", None, split))
        local = NQOpen(Source("benchmark", files, split))
        assert (hub.items, hub.pool, hub.extra) == (local.items, local.pool, local.extra)
        assert not hub.files()


@pytest.mark.parametrize(
    ("completion", "score", "lenient"),
    [
        ("Mr 3", 1, 1),
        (" the  3 Man!\nQ: who", 1, 1),
        ("3, man", 1, 1),
        ("mr 3, of course", 0, 1),
        ("mr 3. He is", 0, 1),
        ("I know mr 3", 0, 0),
        ("mr 4\nmr 3", 0, 0),
        (".", 0, 0),
    ],
)
def test_answers(files, completion, score, lenient):
    benchmark = NQOpen(Source("benchmark", files))
    found = benchmark.score(benchmark.items[3], completion)
    assert found == {"score": score, "lenient": lenient}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": ["a"]}, "item 1: field 'question'"),
        ({"question": "a"}, "item 1: field 'answer' must be a list"),
        ({"question": "a", "answer": "b"}, "item 1: field 'answer' must be a list"),
        ({"question": "a", "answer": [" "]}, "item 1: field 'answer' holds no answer"),
    ],
)
def test_malformed_files_are_one_clear_error(files, row, message):
    write(files, "dev", [row])
    with pytest.raises(DataError, match=message):
        _ = NQOpen(Source("benchmark", files)).items


def stock(name: str, data: list[dict], **changes):
    """Return lm-eval's own task on the given rows."""
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    settings = load_yaml(Path(lm_eval.__file__).parent / "tasks" / name)
    for key in ("tag", "dataset_path", "dataset_name", "training_split"):
        settings.pop(key, None)
    found = Dataset.from_list(data)
    made = {"custom_dataset": lambda **_: {"validation": found}, **changes}
    return ConfigurableTask(config={**settings, **made}), list(found)


@needs_real
def test_prompts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    path = REAL / "nq_open" / "NQ-open.dev.jsonl"
    data = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    shown = {"sampler": "first_n", "samples": data[-25:]}
    task, docs = stock(STOCK, data, fewshot_config=shown)
    benchmark = NQOpen(Source("benchmark", REAL))
    assert len(benchmark.items) == len(data) - 25
    shots = choose_shots(benchmark, None, None)
    assert len(shots) == 5
    for doc, theirs in list(zip(benchmark.items, docs, strict=False))[::20]:
        assert render(benchmark, doc, shots, "plain") == task.fewshot_context(theirs, 5)


@needs_real
def test_verdicts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    path = REAL / "nq_open" / "NQ-open.dev.jsonl"
    data = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    task, docs = stock(STOCK, data[:60])
    benchmark = NQOpen(Source("benchmark", REAL))
    for doc, theirs in zip(benchmark.items, docs, strict=False):
        for answer in (*doc["answers"], benchmark.wrong(doc)):
            right = task.process_results(theirs, [answer])["exact_match"]
            assert benchmark.score(doc, answer)["score"] == right
