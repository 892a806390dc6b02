import json
import random
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.benchmarks import choose
from selfmoe.kits.domains.mini_track import MiniDomain
from selfmoe.testing.domains import DomainContract
from selfmoe_domain_reasoning import Reasoning

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "bbh").exists(), reason=f"no BBH files in {REAL}")

WORKED = """A canary line.
-----
Add numbers.

Q: What is 1 + 1?
A: Let's think step by step.
One and one are two. So the answer is 2.

Q: What is 2 + 2?
A: Let's think step by step.
Two and two are four. So the answer is 4.

Q: What is 3 + 3?
A: Let's think step by step. Three and three are six. So the answer is 6.
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for folder in ("bbh/cot-prompts", "piqa", "hellaswag"):
        (tmp_path / folder).mkdir(parents=True)
    items = [{"input": f"What is {n} + 10?", "target": str(n + 10)} for n in range(30)]
    content = json.dumps({"canary": "A canary line.", "examples": items})
    (tmp_path / "bbh" / "object_counting.json").write_text(content)
    (tmp_path / "bbh" / "cot-prompts" / "object_counting.txt").write_text(WORKED)
    piqa = {"goal": "Open a door.", "sol1": "Turn the handle.", "sol2": "Eat the handle."}
    (tmp_path / "piqa" / "valid.jsonl").write_text(json.dumps(piqa) + "\n")
    (tmp_path / "piqa" / "valid-labels.lst").write_text("0\n")
    endings = {"endings": ["opens it.", "eats it.", "sings.", "is a car."], "label": 0}
    swag = {"activity_label": "Door", "ctx_a": "A man is at a door.", "ctx_b": "he", **endings}
    (tmp_path / "hellaswag" / "hellaswag_val.jsonl").write_text(json.dumps(swag) + "\n")
    return tmp_path


class TestReasoningOnFiles(DomainContract):
    n_seeds = 13

    @pytest.fixture
    def domain(self):
        return Reasoning()

    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


@needs_real
class TestReasoningReal(DomainContract):
    n_seeds = 100

    @pytest.fixture
    def domain(self):
        return Reasoning()

    @pytest.fixture(params=["test", "dev"])
    def source(self, request):
        return Source("benchmark", REAL, request.param)


def test_seeds_are_the_same_whatever_is_scored(files):
    test, dev = (
        Reasoning().seeds(Source("benchmark", files, split), 13, random.Random(5))
        for split in ("test", "dev")
    )
    assert test == dev


def test_only_targets_are_needed(files):
    for folder in ("piqa", "hellaswag"):
        for path in (files / folder).iterdir():
            path.unlink()
    choice = choose(Reasoning(), Source("benchmark", files), None)
    assert [benchmark.name for benchmark in choice.asked] == ["bbh"]
    assert set(choice.left_out) == {"reasoning/piqa", "reasoning/hellaswag"}


def test_the_files_it_reads_are_named(files):
    names = [path.name for path in Reasoning().files(Source("benchmark", files))]
    assert names == ["object_counting.json", "object_counting.txt"]
    assert not Reasoning().files(Source("benchmark"))
    assert not Reasoning().files(Source("mini", files))


def test_a_track_it_lacks_is_a_clear_error(tmp_path):
    class Mini(MiniDomain):
        name = "small"

    with pytest.raises(DataError, match="has no track 'benchmark'"):
        Mini().seeds(Source("benchmark", tmp_path), 3, random.Random(0))


def test_more_seeds_than_there_are_is_a_clear_error(files):
    with pytest.raises(DataError, match="has no 100000 seeds"):
        Reasoning().seeds(Source(), 100_000, random.Random(0))
    with pytest.raises(DataError, match="13 worked examples and reserved items"):
        Reasoning().seeds(Source("benchmark", files), 14, random.Random(0))


def test_answers_agree_by_what_is_stated():
    track = Source("benchmark")
    forms = ["Steps.\nSo the answer is (B).", "The answer is (B).", "(B)"]
    assert {Reasoning().answer(form, track) for form in forms} == {"b"}
    assert Reasoning().answer("", track) is None
