import ast
import json
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation import mathverify
from selfmoe.evaluation.prompting import choose_shots, render
from selfmoe.evaluation.stock import stock_file
from selfmoe.testing import BenchmarkContract
from selfmoe_domain_math.math_problems import MathProblems

PROBLEMS = {
    "algebra": [
        ("What is $x$?", r"It is $\boxed{3}$."),
        ("And $y$?", r"$y = \boxed{\frac{1}{2}}$."),
    ],
    "geometry": [("What interval?", r"First \boxed{1}, but then $\boxed{[2,5)}$.")],
    "precalculus": [("Which day?", r"$\boxed{\text{Monday}}$"), ("How much?", r"\boxed{\$1,250}")],
}


def write(folder: Path, split: str, problems: dict[str, list[tuple[str, str]]]) -> None:
    for subject, rows in problems.items():
        for number, (problem, solution) in enumerate(rows):
            path = folder / split / subject / f"{number}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            row = {"problem": problem, "level": "Level 1", "type": subject, "solution": solution}
            path.write_text(json.dumps(row), "utf-8")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path / "MATH", "test", PROBLEMS)
    write(tmp_path / "MATH", "train", {"algebra": [("What is $z$?", r"$\boxed{7}$")]})
    return tmp_path


@pytest.fixture
def without_algebra_system(monkeypatch):
    monkeypatch.setattr(mathverify, "installed", lambda: None)


class Contract(BenchmarkContract):
    @pytest.fixture
    def benchmarks(self, source):
        return [MathProblems(source)]


class TestOnFiles(Contract):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


@pytest.mark.usefixtures("without_algebra_system")
class TestTuning(Contract):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files, "dev")


def test_subjects_take_turns(files):
    benchmark = MathProblems(Source("benchmark", files))
    subjects = [doc["subject"] for doc in benchmark.items]
    assert subjects == ["algebra", "geometry", "precalculus", "algebra", "precalculus"]
    assert benchmark.extra["subjects"] == ["algebra", "geometry", "precalculus"]
    assert len(benchmark.files()) == 5


def test_the_last_box_is_the_answer(files):
    answers = {doc["answer"] for doc in MathProblems(Source("benchmark", files)).items}
    assert answers == {"3", r"\frac{1}{2}", "[2,5)", r"\text{Monday}", r"\$1,250"}


def test_the_hub_gives_the_same_items_whatever_their_order(files, monkeypatch):
    def load(path, name, split):
        assert (path, split) == ("EleutherAI/hendrycks_math", "test")
        rows = reversed(PROBLEMS.get(name, []))
        return [{"problem": p, "level": "Level 1", "type": name, "solution": s} for p, s in rows]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert MathProblems(Source("benchmark")).items == MathProblems(Source("benchmark", files)).items


def test_a_shown_problem_is_not_asked(files):
    shown = MathProblems(Source("benchmark", files)).pool[1]
    write(files / "MATH", "test", {"algebra": [(shown["problem"], shown["solution"])]})
    items = MathProblems(Source("benchmark", files)).items
    assert len(items) == 4
    assert shown["problem"] not in {doc["problem"] for doc in items}


@pytest.mark.parametrize(
    ("completion", "score", "lenient"),
    [
        ("Final Answer: The final answer is $0.5$. I hope it is correct.", 1, 1),
        ("so final answer is \\frac12", 1, 1),
        ("Thus $\\boxed{1/2}$.", 0, 1),
        ("The answer is $\\frac{2}{4}$.", 0, 1),
        ("Final Answer: The final answer is $2$. $\\boxed{1/2}$", 0, 0),
        (r"Final Answer: The final answer is $\boxed{\frac{1}{2}}$. I hope it is correct.", 1, 1),
        ("**Final Answer:** The final answer is **0.5**. I hope it is correct.", 1, 1),
        ("The final answer is:\n\n$$\\dfrac12$$", 1, 1),
        (r"Final Answer: The final answer is $\boxed{1}$. I hope it is correct.", 0, 0),
        ("**Answer:** `1/2`", 0, 1),
        ("1/2", 0, 0),
        ("\\boxed{", 0, 0),
    ],
)
@pytest.mark.usefixtures("without_algebra_system")
def test_answers_without_math_verify(files, completion, score, lenient):
    benchmark = MathProblems(Source("benchmark", files))
    (doc,) = (doc for doc in benchmark.items if doc["answer"] == r"\frac{1}{2}")
    assert benchmark.score(doc, completion) == {"score": score, "lenient": lenient}
    assert benchmark.extra["equivalence"] == "plain form only"


def test_math_verify_does_the_algebra(files):
    if mathverify.installed() is None:
        pytest.skip("math-verify is not installed")
    benchmark = MathProblems(Source("benchmark", files))
    doc = {**benchmark.items[0], "answer": "(x+1)^2"}
    assert benchmark.score(doc, r"The final answer is $x^2+2x+1$.")["score"] == 1.0
    assert benchmark.score(doc, r"The final answer is $x^2+2x+2$.")["score"] == 0.0
    assert benchmark.extra["equivalence"].startswith("math-verify ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read"),
        ("[]", "field 'problem' is missing"),
        ('{"problem": "a"}', "field 'solution' is missing"),
        ('{"problem": "a", "solution": "b"}', "boxes no answer"),
    ],
)
def test_malformed_files_are_one_clear_error(files, content, message):
    (files / "MATH" / "test" / "algebra" / "0.json").write_text(content)
    with pytest.raises(DataError, match=message):
        _ = MathProblems(Source("benchmark", files)).items


def test_files_of_another_benchmark_are_not_taken_for_its_own(tmp_path):
    (tmp_path / "test").mkdir()
    with pytest.raises(MissingDataError, match="counting_and_probability"):
        MathProblems(Source("benchmark", tmp_path)).files()


def test_prompts_equal_those_of_lm_eval(files):
    pytest.importorskip("lm_eval")
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    source = ast.parse(stock_file("minerva_math/utils.py").read_text("utf-8"))
    names = ("doc_to_text", "list_fewshot_samples")  # the rest needs sympy's old parser
    source.body = [node for node in source.body if getattr(node, "name", "") in names]
    theirs: dict = {}
    exec(compile(source, "minerva_math", "exec"), theirs)
    benchmark = MathProblems(Source("benchmark", files))
    data = Dataset.from_list(list(benchmark.items))
    task = ConfigurableTask(
        config={
            "task": "minerva_math_algebra",
            "custom_dataset": lambda **_: {"test": data},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": theirs["doc_to_text"],
            "doc_to_target": "{{answer if few_shot is undefined else solution}}",
            "generation_kwargs": {"until": ["Problem:"]},
            "fewshot_config": {"sampler": "first_n", "samples": theirs["list_fewshot_samples"]},
        }
    )
    shots = choose_shots(benchmark, None, None)
    assert len(shots) == 4
    for doc, row in zip(benchmark.items, data, strict=True):
        assert render(benchmark, doc, shots, "plain") == task.fewshot_context(row, 4)
