import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import choose_shots, render
from selfmoe.testing.domains import DomainContract
from selfmoe_domain_math import Math
from selfmoe_domain_math.gsm8k import GSM8K

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "gsm8k").exists(), reason=f"no GSM8K files in {REAL}")


def row(question: str, answer: str) -> str:
    return json.dumps({"question": question, "answer": answer}) + "\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    train = [row(f"How much is {n} + 1?", f"{n} + 1 = <<{n}+1=9>>{n + 1}.\n#### {n + 1}")
             for n in range(1, 61)]  # fmt: skip
    (folder / "train.jsonl").write_text("".join(train))
    (folder / "test.jsonl").write_text(row("How much is 2 * 3?", "2 * 3 = 6.\n#### 6") * 1)
    return tmp_path


class TestMathOnFiles(DomainContract):
    @pytest.fixture
    def domain(self):
        return Math()

    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


class TestMathTuning(TestMathOnFiles):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files, "dev")


@needs_real
class TestMathReal(DomainContract):
    n_seeds = 1000

    @pytest.fixture
    def domain(self):
        return Math()

    @pytest.fixture
    def source(self):
        return Source("benchmark", REAL)


def test_the_folder_itself_may_be_given(files):
    inside = GSM8K(Source("benchmark", files / "gsm8k"))
    assert list(inside.items) == list(GSM8K(Source("benchmark", files)).items)


def test_the_files_it_reads_are_named(files):
    source = Source("benchmark", files)
    assert [path.name for path in Math().files(source)] == ["train.jsonl"]
    assert [path.name for path in GSM8K(source).files()] == ["test.jsonl"]
    assert [path.name for path in GSM8K(replace(source, split="dev")).files()] == ["train.jsonl"]
    assert not Math().files(Source("benchmark"))
    assert not GSM8K(Source("benchmark")).files()
    assert not Math().files(Source("mini", files))


def test_the_hub_gives_the_same_items(files, monkeypatch):
    def load(path, name, split):
        assert (path, name) == ("openai/gsm8k", "main")
        lines = (files / "gsm8k" / f"{split}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    monkeypatch.setattr("datasets.load_dataset", load)
    for split in ("test", "dev"):
        hub, local = (
            GSM8K(Source("benchmark", None, split)),
            GSM8K(Source("benchmark", files, split)),
        )
        assert hub.items == local.items


def test_without_hub_or_files_the_way_out_is_named(monkeypatch):
    def load(*_, **__):
        raise ConnectionError("offline")

    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(DataError, match="--data-dir"):
        _ = GSM8K(Source("benchmark")).items


def test_seeds_carry_no_calculator_annotations(files):
    seeds = Math().seeds(Source("benchmark", files), 30, random.Random(1))
    assert not any("<<" in seed.response for seed in seeds)
    assert all(seed.response.split("\n")[-1].startswith("#### ") for seed in seeds)


def test_a_bare_number_is_right_only_leniently(files):
    benchmark = GSM8K(Source("benchmark", files))
    assert benchmark.score(benchmark.items[0], "2 * 3 = 6") == {"score": 0.0, "lenient": 1.0}


def test_a_mark_within_a_sentence_is_right_only_leniently(files):
    benchmark = GSM8K(Source("benchmark", files))
    doc = benchmark.items[0]
    assert benchmark.score(doc, "So the answer is 6.") == {"score": 0.0, "lenient": 1.0}
    both = "So the answer is 7. The answer is 6."
    assert benchmark.score(doc, both) == {"score": 1.0, "lenient": 1.0}
    assert benchmark.extract(doc, both) == "6"


def test_answers_agree_by_their_final_number():
    track = Source("benchmark")
    forms = ["9*2=18\n#### 18", "9*2=18. The answer is 18.", "#### 18.00", "It is 18"]
    assert {Math().answer(form, track) for form in forms} == {"18"}
    assert Math().answer("I do not know.", track) is None


@pytest.mark.parametrize(
    "said", ["9{,}500", r"\$9\,500", "9\u202f500", "\uff19\uff15\uff10\uff10", "**9,500**", "9.5e3"]
)
def test_thousands_are_read_whole_and_never_in_part(files, said):
    lines = [row(f"How many make {gold}?", f"#### {gold}") for gold in (9500, 9, 500)]
    (files / "gsm8k" / "test.jsonl").write_text("".join(lines))
    benchmark = GSM8K(Source("benchmark", files))
    for completion in (f"The answer is {said}.", f"#### {said}"):
        scores = [benchmark.score(doc, completion) for doc in benchmark.items]
        assert [score["score"] for score in scores] == [1.0, 0.0, 0.0]
        assert [score["lenient"] for score in scores] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no items"),
        ("{\n", "line 1"),
        ("[1]\n", "line 1"),
        (row("a?", "#### 1") + '{"question": "b?"}\n', "item 2: field 'answer' is missing"),
        (row("", "#### 1"), "field 'question' is missing"),
        (row("a?", "no number"), "item 1: field 'answer' must end"),
    ],
)
def test_malformed_files_are_one_clear_error(files, content, message):
    (files / "gsm8k" / "test.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        _ = GSM8K(Source("benchmark", files)).items


def test_a_missing_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"train\.jsonl"):
        Math().seeds(Source("benchmark", tmp_path), 3, random.Random(0))


def test_too_many_seeds_say_how_many_there_are(files):
    with pytest.raises(DataError, match="54 training problems"):
        Math().seeds(Source("benchmark", files), 55, random.Random(0))


@needs_real
def test_prompts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    path = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k-cot.yaml"
    stock = load_yaml(path)
    lines = (REAL / "gsm8k" / "test.jsonl").read_text("utf-8").splitlines()
    rows = Dataset.from_list([json.loads(line) for line in lines])
    for key in ("tag", "dataset_path", "dataset_name"):
        stock.pop(key, None)
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"test": rows}})
    benchmark = GSM8K(Source("benchmark", REAL))
    shots = choose_shots(benchmark, None, None)
    assert list(benchmark.stop) == stock["generation_kwargs"]["until"]
    for doc, theirs in list(zip(benchmark.items, rows, strict=True))[::4]:
        assert render(benchmark, doc, shots, "plain") == task.fewshot_context(theirs, 8)
