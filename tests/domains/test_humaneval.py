"""HumanEval on hand-made problems: what counts as the answer, and where items come from."""

import gzip
import json
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import render
from selfmoe_domain_coding import Coding
from selfmoe_domain_coding.humaneval import HumanEval

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(
    not (REAL / "humaneval").exists(), reason=f"no HumanEval file in {REAL}"
)

PROMPT = '''import math


def half(x):
    return x / 2


def root(x: float) -> float:
    """ Return the root of x.

    >>> root(9.0)
    3.0
    """
'''
ROW = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "root",
    "canonical_solution": "    y = math.sqrt(x)\n    return y\n",
    "test": "\n\ndef check(candidate):\n    assert candidate(9.0) == 3.0\n",
}
PASSING = {
    "the body": "    y = math.sqrt(x)\n    return y",
    "the body without its first indent": "y = math.sqrt(x)\n    return y",
    "the body with a space too many": "     y = math.sqrt(x)\n    return y",
    "the body without indent": "y = math.sqrt(x)\nreturn y",
    "a body that nests": "    def go(y):\n        return math.sqrt(y)\n    return go(x)",
    "body, then a helper": "    return go(x)\n\ndef go(y):\n    return y ** 0.5",
    "body, fence, words": "    return math.sqrt(x)\n```\nThis is right.",
    "the whole function": "def root(x):\n    return math.sqrt(x)",
    "with its own import": "from math import sqrt\n\ndef root(x):\n    return sqrt(x)",
    "with what the prompt defines": "def root(x):\n    return half(2 * x) ** 0.5",
    "helper first": "def go(y):\n    return y ** 0.5\ndef root(x):\n    return go(x)",
    "the prompt again": PROMPT + "    return math.sqrt(x)\n",
    "fenced": "```python\ndef root(x):\n    return math.sqrt(x)\n```",
    "words, then fenced": "Sure:\n```\ndef root(x):\n    return math.sqrt(x)\n```\nDone.",
    "a word, then fenced": "Solution\n```python\ndef root(x):\n    return math.sqrt(x)\n```",
    "a word, then a fenced body": "Solution\n```python\n    return math.sqrt(x)\n```",
    "a label, then fenced": "Answer: code\n```\ndef root(x):\n    return math.sqrt(x)\n```",
    "body, fence, a word": "    return math.sqrt(x)\n```\nDone",
    "a fenced body": "```python\n    return math.sqrt(x)\n```",
    "a guard": "    return x ** 0.5\n\nif __name__ == '__main__':\n    print(root(int(input())))",
    "a guard in a program": "def root(x):\n    return x ** 0.5\nif __name__=='__main__': exit()",
    "a use first": "```\ny = root(9.0)\nprint(y)\n```\n```\ndef root(x):\n    return x ** 0.5\n```",
    "a shell first": "```sh\npip install m\n```\n~~~py\ndef root(x):\n    return x ** 0.5\n~~~",
    "a stub first": "```\ndef root(x):\n    pass\n```\n```\ndef root(x):\n    return x ** 0.5\n```",
    "in a list": "1. So:\n   ```\n   def root(x):\n       return x ** 0.5\n   ```",
    "set off": "So:\n\n    def root(x):\n        return x ** 0.5\n\nDone.",
    "a session": ">>> def root(x):\n...     return x ** 0.5\n",
    "a fence left open": "```python\ndef root(x):\n    return math.sqrt(x)\n",
}
FAILING = {
    "nothing": "",
    "words": "I cannot do that.",
    "a comment": "    # to do",
    "another function": "def square(x):\n    return x * x",
    "cut off": "    return math.sqrt(",
    "wrong": "    return x",
    "leaves before the checks": "    import os\n    os._exit(0)",
    "no text": "    return '\x00'",
}


@pytest.fixture
def files(tmp_path):
    write(tmp_path, [ROW])
    return tmp_path


@pytest.fixture
def benchmark(files):
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")
    return HumanEval(Source("benchmark", files))


def write(folder, rows):
    (folder / "humaneval").mkdir(exist_ok=True)
    path = folder / "humaneval" / "HumanEval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.mark.parametrize("form", PASSING)
def test_right_answers_in_any_form_pass(benchmark, form):
    doc = benchmark.items[0]
    assert benchmark.score(doc, PASSING[form]) == {"score": 1.0}
    assert benchmark.extract(doc, PASSING[form]).startswith(PROMPT)


@pytest.mark.parametrize("form", FAILING)
def test_other_answers_fail(benchmark, form):
    assert benchmark.score(benchmark.items[0], FAILING[form]) == {"score": 0.0}


@pytest.mark.parametrize("form", ["nothing", "words", "a comment", "cut off"])
def test_what_gives_the_function_no_body_is_not_run(benchmark, form, monkeypatch):
    import selfmoe_domain_coding.humaneval as module

    def refuse(program):
        raise AssertionError(f"would have run {program!r}")

    monkeypatch.setattr(module, "passes", refuse)
    assert benchmark.score(benchmark.items[0], FAILING[form]) == {"score": 0.0}


def test_an_answer_as_lm_eval_takes_it_is_taken_as_it_is(benchmark):
    doc = benchmark.items[0]
    assert benchmark.extract(doc, benchmark.gold(doc)) == PROMPT + benchmark.gold(doc)


def test_a_later_answer_does_not_count(benchmark):
    text = "    return x\n```\nOr rather:\n```python\ndef root(x):\n    return math.sqrt(x)\n```"
    assert benchmark.score(benchmark.items[0], text) == {"score": 0.0}


def test_only_the_harness_template_stops_at_a_second_function(files):
    benchmark = HumanEval(Source("benchmark", files))
    assert "\ndef" in benchmark.stops("plain")
    assert benchmark.stops("alpaca") == ()


def test_the_task_is_put_as_seeds_are(files):
    benchmark = HumanEval(Source("benchmark", files))
    task = benchmark.ask(benchmark.items[0])
    assert task.instruction == "Complete the following Python function."
    assert task.input == PROMPT.strip()


def test_gzipped_files_as_upstream_ships_them(files):
    before = HumanEval(Source("benchmark", files)).items
    path = files / "humaneval" / "HumanEval.jsonl"
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    benchmark = HumanEval(Source("benchmark", files))
    assert benchmark.items == before
    assert [path.name for path in benchmark.files()] == ["HumanEval.jsonl.gz"]
    benchmark.files()[0].write_bytes(b"\x1f\x8bno")
    with pytest.raises(DataError, match="cannot read"):
        list(HumanEval(Source("benchmark", files)).items)


def test_the_hub_gives_the_same_items(files, monkeypatch):
    local = HumanEval(Source("benchmark", files)).items

    def load(path, name, split):
        assert (path, name, split) == ("openai/openai_humaneval", None, "test")
        return [ROW]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert HumanEval(Source("benchmark")).items == local
    assert not HumanEval(Source("benchmark")).files()


def test_problems_that_cannot_be_rewritten_are_left_out_of_tuning_and_told(tmp_path):
    whole = {"text": "Write f.", "code": "def f(x):\n    return x", "task_id": 511}
    row = {**whole, "test_list": ["assert f(1) == 1"] * 3, "test_setup_code": ""}
    (tmp_path / "mbpp.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps({**row, "task_id": 512, "code": "def g(: pass"}) + "\n"
    )
    benchmark = HumanEval(Source("benchmark", tmp_path, "dev"))
    assert [doc["id"] for doc in benchmark.items] == ["mbpp-511"]
    assert benchmark.extra == {
        "items_from": "MBPP validation",
        "left_out": {"mbpp-512": "does not parse"},
    }
    assert benchmark.files() == [tmp_path / "mbpp.jsonl"]


@pytest.mark.parametrize("field", ["task_id", "prompt", "entry_point", "canonical_solution"])
def test_malformed_files_are_one_clear_error(files, field):
    write(files, [ROW, {**ROW, field: 7}])
    with pytest.raises(DataError, match=f"item 2: field '{field}'"):
        list(HumanEval(Source("benchmark", files)).items)


def test_nothing_is_read_before_items_are_looked_at(tmp_path):
    humaneval, mbpp = Coding().benchmarks(Source("benchmark", tmp_path))
    assert (humaneval.role, mbpp.role) == ("target", "non-target")
    with pytest.raises(MissingDataError, match=r"HumanEval\.jsonl "):
        humaneval.files()


@needs_real
def test_prompts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    path = Path(lm_eval.__file__).parent / "tasks" / "humaneval" / "humaneval.yaml"
    stock = load_yaml(path, resolve_func=False)  # its metric would be downloaded
    for key in ("tag", "dataset_path", "dataset_name", "metric_list", "filter_list"):
        stock.pop(key, None)
    lines = (REAL / "humaneval" / "HumanEval.jsonl").read_text("utf-8").splitlines()
    rows = Dataset.from_list([json.loads(line) for line in lines])
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"test": rows}})
    benchmark = HumanEval(Source("benchmark", REAL))
    assert list(benchmark.stop) == stock["generation_kwargs"]["until"]
    for doc, theirs in zip(benchmark.items, rows, strict=True):
        assert render(benchmark, doc, [], "plain") == task.fewshot_context(theirs, 0)
        assert benchmark.program(doc, benchmark.gold(doc)).endswith(
            f"{task.doc_to_target(theirs)}\n"
        )
