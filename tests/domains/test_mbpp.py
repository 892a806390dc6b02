"""MBPP and the seeds made of it, on hand-made problems."""

import json
import random
import warnings
from collections import Counter

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError, StageError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import choose_shots
from selfmoe.testing.domains import DomainContract
from selfmoe_domain_coding import Coding, training
from selfmoe_domain_coding.mbpp import MBPP
from selfmoe_domain_coding.training import seeds

RIGHT = "def add_11(x):\n    return x + 11\n"


@pytest.fixture(autouse=True)
def sandbox():
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")


def problem(number, **changes):
    name = f"add_{number}"
    row = {
        "text": f"Write a function to add {number} to a number.",
        "code": f"def {name}(x):\r\n\treturn x + {number}",
        "task_id": number,
        "test_setup_code": "",
        "test_list": [f"assert {name}({x}) == {x + number}" for x in (1, 2, 3)],
        "challenge_test_list": [],
    }
    return {**row, **changes}


def items():
    numbers = [*range(1, 11), 11, 12, 510, 511, 600, *range(601, 631)]
    return [problem(number) for number in numbers]


def humaneval(number):
    return {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def times_{number}(x):\n    """Multiply by {number}."""\n',
        "entry_point": f"times_{number}",
        "canonical_solution": f"    return x * {number}\n",
        "test": f"def check(candidate):\n    assert candidate(7) == {7 * number}\n",
    }


def write(folder, rows):
    (folder / "mbpp").mkdir(exist_ok=True)
    path = folder / "mbpp" / "mbpp.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.fixture
def files(tmp_path):
    write(tmp_path, items())
    (tmp_path / "humaneval").mkdir()
    lines = "".join(json.dumps(humaneval(number)) + "\n" for number in range(4))
    (tmp_path / "humaneval" / "HumanEval.jsonl").write_text(lines)
    return tmp_path


@pytest.fixture
def source(files):
    return Source("benchmark", files)


class TestCodingOnFiles(DomainContract):
    @pytest.fixture
    def domain(self):
        return Coding()

    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


class TestCodingTuning(TestCodingOnFiles):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files, "dev")


def test_ids_say_what_is_asked_shown_and_learned_from(source, files):
    assert [doc["task_id"] for doc in MBPP(source).items] == [11, 12, 510]
    assert [doc["id"] for doc in MBPP(Source("benchmark", files, "dev")).items] == [
        "mbpp-511",
        "mbpp-600",
    ]
    assert [doc["task_id"] for doc in choose_shots(MBPP(source), None, None)] == [2, 3, 4]
    assert {int(seed.id[5:]) for seed in seeds(source, 30, random.Random(0))} == {*range(601, 631)}


def test_a_seed_is_a_function_to_complete_and_a_whole_program(source):
    seed = min(seeds(source, 30, random.Random(0)), key=lambda seed: seed.id)
    assert seed.instruction == "Complete the following Python function."
    assert seed.input == (
        'def add_601(x):\n    """Write a function to add 601 to a number.\n'
        '    >>> add_601(1)\n    602\n    """'
    )
    assert seed.response == "def add_601(x):\n    return x + 601"


def test_seeds_that_fail_their_tests_are_named_and_not_used(files, source):
    faulty = problem(603, code="def add_603(x):\n    return 0")
    lines = [row for row in items() if row["task_id"] not in (603, 630)]
    write(files, [*lines, faulty, problem(630, code="def add_630(x) return")])
    with pytest.warns(UserWarning, match=r"mbpp-603: failed: Assert.*\n  mbpp-630: does not parse"):
        made = seeds(source, 28, random.Random(0))
    assert not {"mbpp-603", "mbpp-630"} & {seed.id for seed in made}
    with pytest.warns(UserWarning), pytest.raises(DataError, match="28 training problems"):
        seeds(source, 29, random.Random(0))


def test_training_problems_that_are_asked_elsewhere_are_no_seeds(files, source):
    asked = problem(12)["text"]
    lines = [row for row in items() if row["task_id"] != 620]
    write(files, [*lines, problem(620, text=asked.upper())])
    assert "mbpp-620" not in {seed.id for seed in seeds(source, 29, random.Random(0))}
    with pytest.raises(DataError):
        seeds(source, 30, random.Random(0))


def test_without_a_sandbox_no_solution_is_run_and_that_is_said(source, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("ran a program")

    monkeypatch.setattr("selfmoe.kits.domains.best_tier", lambda: None)
    monkeypatch.setattr("selfmoe.kits.domains.run_many", refuse)
    for _ in range(2):
        with pytest.warns(UserWarning, match="without being run"):
            made = seeds(source, 5, random.Random(0))
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seeds(source, 5, random.Random(0)) == made


@pytest.mark.parametrize("tries", [1, 2])
def test_a_solution_that_takes_too_long_is_run_again_before_anything_is_said(
    source, monkeypatch, tries
):
    from selfmoe.evaluation import sandbox

    slow = Counter()

    def run_many(programs, timeout_s=5.0, *, workers=None):
        for program in programs:
            slow[program] += "add_601" in program
        return [
            sandbox.Verdict("timeout" if 0 < slow[p] <= tries else "passed", "any", "")
            for p in programs
        ]

    training._faults.cache_clear()
    monkeypatch.setattr("selfmoe.kits.domains.best_tier", lambda: "any")
    monkeypatch.setattr("selfmoe.kits.domains.run_many", run_many)
    try:
        if tries == 1:
            assert "mbpp-601" in {seed.id for seed in seeds(source, 30, random.Random(0))}
        else:
            with pytest.raises(StageError, match="says nothing about the seed"):
                seeds(source, 30, random.Random(0))
    finally:
        training._faults.cache_clear()


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("def add_11(x):\n    return x + 11\n[DONE]\ndef add_11(x): pass", 1.0),
        ("```python\ndef add_11(x):\n    return x + 11\n```\nThat is all.", 1.0),
        ("Here it is:\n```\ndef add_11(x):\n    return x + 11", 1.0),
        ("Solution\n```python\ndef add_11(x):\n    return x + 11\n```", 1.0),
        ("Answer: code\n```\ndef add_11(x):\n    return x + 11\n```", 1.0),
        ("def add_11(x):\n    return x + 11\n```\nDone", 1.0),
        ("def add_11(x):\n    return x\n```\nOr:\n```\ndef add_11(x):\n    return x + 11", 0.0),
        ("add_11 = (11).__add__", 1.0),
        ("def add_11(x):\n    return x + 12", 0.0),
        ("def add_11(x):\n    return x + 11\nThat is all.", 0.0),
        ("import os\nos._exit(0)", 0.0),
        (f"{RIGHT}if __name__ == '__main__':\n    print(add_11(int(input())))\n", 1.0),
        (f"{RIGHT}print(input())\n", 0.0),
        ("[DONE]", 0.0),
    ],
)
def test_what_counts_as_the_answer(source, completion, score):
    benchmark = MBPP(source)
    assert benchmark.score(benchmark.items[0], completion) == {"score": score}


@pytest.mark.parametrize(
    "completion",
    [
        f"```bash\npip install add\n```\n```python\n{RIGHT}```",
        f"```\n12\n```\nis printed by\n```python\n{RIGHT}```",
        f"```python\nprint(add_11(1))\n```\nwith\n~~~~\n{RIGHT}~~~~",
        f"```python\ndef add_11(x):\n    ...\n```\n```python\n{RIGHT}```",
        f"```python\ndef helper(x):\n    return x\n```\n```python\n{RIGHT}```",
        f"```js\nfunction add_11(x) {{}}\n```\n```Python\n{RIGHT}```\n",
        f"[BEGIN]\n{RIGHT}[DONE]",
        "1. First:\n   ```python\n   def add_11(x):\n       return x + 11\n   ```",
        "    def add_11(x):\n        return x + 11\n    y = add_11(1)",
        "Here:\n\n    def add_11(x):\n        return x + 11\n\nThat is all.",
        f"```python\n{RIGHT}```\nor\n```python\ndef add_11(x):\n    return 0\n```",
    ],
)
def test_the_first_code_that_defines_what_is_asked_counts(source, completion):
    benchmark = MBPP(source)
    doc = benchmark.items[0]
    found = {}
    exec(benchmark.extract(doc, completion), found)
    assert found["add_11"](1) == 12


def test_a_wrong_first_answer_counts(source):
    benchmark = MBPP(source)
    text = f"```python\ndef add_11(x):\n    return x\n```\n```python\n{RIGHT}```"
    assert benchmark.extract(benchmark.items[0], text) == "def add_11(x):\n    return x"


def test_set_up_code_runs_between_answer_and_tests(files, source):
    code = "class Box:\n    def __init__(self, x):\n        self.x = x\ndef open_box(box):\n"
    row = problem(
        11,
        code=code + "    return box.x",
        test_setup_code="one = Box(1)\r\ntwo = Box(2)",
        test_list=[f"assert open_box({box}) == {x}" for box, x in [("one", 1), ("two", 2)] * 2],
    )
    write(files, [row, *(problem(number) for number in range(1, 11))])
    benchmark = MBPP(source)
    doc = benchmark.items[0]
    assert benchmark.score(doc, benchmark.gold(doc)) == {"score": 1.0}


def test_the_hub_gives_the_same_items_and_seeds(source, monkeypatch):
    parts = {"prompt": (1, 10), "test": (11, 510), "validation": (511, 600), "train": (601, 974)}

    def load(path, name, split):
        assert (path, name) == ("google-research-datasets/mbpp", "full")
        first, last = parts[split]
        return [row for row in items() if first <= row["task_id"] <= last]

    local = [MBPP(source).items, MBPP(source).pool, seeds(source, 30, random.Random(2))]
    monkeypatch.setattr("datasets.load_dataset", load)
    hub = Source("benchmark")
    assert [MBPP(hub).items, MBPP(hub).pool, seeds(hub, 30, random.Random(2))] == local
    assert not MBPP(hub).files()


def test_the_files_it_reads_are_named(files, source):
    assert [path.name for path in Coding().files(source)] == ["mbpp.jsonl"]
    assert [path.name for path in MBPP(source).files()] == ["mbpp.jsonl"]
    assert not Coding().files(Source("benchmark"))
    assert not Coding().files(Source("mini", files))
    assert MBPP(Source("benchmark", files / "mbpp")).items == MBPP(source).items


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (problem(11, text=""), "item 1: field 'text'"),
        (problem(11, code=3), "item 1: field 'code'"),
        (problem(11, task_id="11"), "item 1: field 'task_id'"),
        (problem(11, test_list=["assert True"]), "item 1: field 'test_list'"),
        (problem(11, test_list="assert True"), "item 1: field 'test_list'"),
        (problem(11, test_setup_code=["x = 1"]), "item 1: fields .*'test_setup_code'"),
        (problem(700), "no problem of its test part, ids 11 to 510"),
    ],
)
def test_malformed_files_are_one_clear_error(files, source, row, message):
    write(files, [row])
    with pytest.raises(DataError, match=message):
        list(MBPP(source).items)


def test_two_problems_with_one_id_are_an_error(files, source):
    write(files, [problem(11), problem(11)])
    with pytest.raises(DataError, match="same task_id"):
        list(MBPP(source).items)


def test_a_missing_file_says_what_was_looked_for(tmp_path):
    with pytest.raises(MissingDataError, match=r"mbpp\.jsonl"):
        MBPP(Source("benchmark", tmp_path)).files()
