"""The coding domain on the real files: all answers, all training problems, lm-eval's prompts."""

import ast
import json
import random
from pathlib import Path

import pytest

from selfmoe.contracts.records import Rejected, Source
from selfmoe.evaluation.prompting import choose_shots, render
from selfmoe.testing.domains import DomainContract
from selfmoe_domain_coding import Coding, training
from selfmoe_domain_coding.mbpp import MBPP, rows
from selfmoe_domain_coding.normalise import Problem, to_humaneval
from selfmoe_domain_coding.training import seeds

REAL = Path(__file__).parents[3] / "shared" / "data"
there = (REAL / "mbpp").exists() and (REAL / "humaneval").exists()
pytestmark = [
    pytest.mark.skipif(not there, reason=f"no MBPP and HumanEval files in {REAL}"),
    pytest.mark.filterwarnings("ignore:.*invalid escape:DeprecationWarning"),
]


@pytest.fixture
def sandbox():
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")


class TestCodingReal(DomainContract):
    n_seeds = 60
    sandbox_items = 4  # all of them: see test_all_real_answers

    @pytest.fixture
    def domain(self):
        return Coding()

    @pytest.fixture
    def source(self):
        return Source("benchmark", REAL)


@pytest.mark.parametrize("split", ["test", "dev"])
def test_all_real_answers(split, sandbox):
    """Right ones pass and wrong ones fail; one run for all, each in a namespace of its own."""
    from selfmoe.evaluation.sandbox import run_sandboxed

    for benchmark in Coding().benchmarks(Source("benchmark", REAL, split)):
        right = [benchmark.program(doc, benchmark.gold(doc)) for doc in benchmark.items]
        wrong = [benchmark.program(doc, benchmark.wrong(doc)) for doc in benchmark.items]
        verdict = run_sandboxed(MANY.format(programs=right + wrong, right=len(right)), 120)
        assert verdict.status == "passed", verdict.detail


MANY = """
programs, passed = {programs}, []
for number, program in enumerate(programs):
    try:
        exec(compile(program, "program.py", "exec"), {{"__name__": "__main__"}})
    except Exception:
        continue
    passed.append(number)
assert passed == list(range({right})), set(passed) ^ set(range({right}))
"""


def test_all_real_training_problems_are_rewritten_or_told():
    made = {row["id"]: to_humaneval(row) for row in rows(Source("benchmark", REAL), "train")}
    refused = [name for name, problem in made.items() if isinstance(problem, Rejected)]
    assert refused == ["mbpp-601", "mbpp-899", "mbpp-927", "mbpp-967"]
    for problem in made.values():
        if isinstance(problem, Problem):
            assert not set("\t\r") & set(problem.prompt + problem.completion + problem.program)


def test_real_problems_that_are_there_twice_are_no_seeds(monkeypatch):
    monkeypatch.setattr(training, "_faults", lambda programs: ("",) * len(programs))
    with pytest.warns(UserWarning, match=r"mbpp-601: its tests .* use Pair.*\n  mbpp-899"):
        names = {seed.id for seed in seeds(Source("benchmark", REAL), 367, random.Random(0))}
    assert not names & {"mbpp-602", "mbpp-704", "mbpp-872"}


def test_prompts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = Path(lm_eval.__file__).parent / "tasks" / "mbpp"
    stock = load_yaml(folder / "mbpp.yaml", resolve_func=False)  # its metric would be downloaded
    for key in ("tag", "dataset_path", "dataset_name", "metric_list"):
        stock.pop(key, None)
    stock["fewshot_config"]["samples"] = returned(folder / "utils.py", "list_fewshot_samples")
    raw = (REAL / "mbpp" / "mbpp.jsonl").read_text("utf-8").splitlines()
    asked = [row for row in map(json.loads, raw) if 11 <= row["task_id"] <= 510]
    rows = Dataset.from_list(asked)
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"test": rows}})
    benchmark = MBPP(Source("benchmark", REAL))
    shots = choose_shots(benchmark, None, None)
    assert list(benchmark.stop) == stock["generation_kwargs"]["until"]
    for doc, theirs in zip(benchmark.items, rows, strict=True):
        assert render(benchmark, doc, shots, "plain") == task.fewshot_context(theirs, 3)


def returned(path, function):
    """Return the literal that a function returns, without importing its module."""
    tree = ast.parse(path.read_text("utf-8"))
    (found,) = (node for node in tree.body if getattr(node, "name", "") == function)
    return ast.literal_eval(found.body[-1].value)
