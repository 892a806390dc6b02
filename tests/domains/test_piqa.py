import json
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import render
from selfmoe_domain_reasoning.piqa import PIQA

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "piqa").exists(), reason=f"no PIQA files in {REAL}")

ROWS = [
    {"goal": "Open a jar.", "sol1": "Twist the lid. ", "sol2": "Twist  the jar's label."},
    {"goal": "boil \"eggs\" {{x}} it's", "sol1": "In oil.", "sol2": "In 'water'\n\"hot\"."},
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "piqa").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "piqa" / "valid.jsonl").write_text(lines)
    (tmp_path / "piqa" / "valid-labels.lst").write_text("0\n1\n")
    return tmp_path


def test_labels_say_which_solution_is_right(files):
    benchmark = PIQA(Source("benchmark", files))
    first, second = benchmark.items
    assert (first["id"], second["id"]) == ("piqa-valid-0", "piqa-valid-1")
    assert (benchmark.gold(first), benchmark.wrong(second)) == ("Twist the lid. ", "In oil.")
    assert benchmark.role == "non-target"
    assert benchmark.splits == ("test",)


def test_the_likelier_solution_counts_whatever_its_length(files):
    benchmark = PIQA(Source("benchmark", files))
    doc = benchmark.items[1]
    assert benchmark.weigh(doc, [-5.0, -4.0]) == {"score": 1.0}
    assert benchmark.weigh(doc, [-3.0, -4.0]) == {"score": 0.0}


def test_the_hub_gives_the_same_items(files, monkeypatch):
    def load(path, name, split):
        assert (path, name, split) == ("baber/piqa", None, "validation")
        return [{**row, "label": label} for label, row in enumerate(ROWS)]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert PIQA(Source("benchmark")).items == PIQA(Source("benchmark", files)).items
    assert not PIQA(Source("benchmark")).files()


@pytest.mark.parametrize(
    ("labels", "message"),
    [("0\n", "2 items, but .* 1 labels"), ("0\n2\n", r"labels\.lst, item 2: label '2'")],
)
def test_malformed_labels_are_one_clear_error(files, labels, message):
    (files / "piqa" / "valid-labels.lst").write_text(labels)
    with pytest.raises(DataError, match=message):
        _ = PIQA(Source("benchmark", files)).items


def test_malformed_items_and_missing_files_are_clear_errors(files):
    (files / "piqa" / "valid.jsonl").write_text('{"goal": "a", "sol1": "b"}\n')
    with pytest.raises(DataError, match="item 1: field 'sol2'"):
        _ = PIQA(Source("benchmark", files)).items
    (files / "piqa" / "valid-labels.lst").unlink()
    with pytest.raises(MissingDataError, match=r"valid-labels\.lst"):
        PIQA(Source("benchmark", files)).files()


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=needs_real)])
def test_prompts_equal_those_of_lm_eval(files, real):
    pytest.importorskip("lm_eval")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    benchmark = PIQA(Source("benchmark", REAL if real else files))
    rows = [
        {"goal": d["goal"], "sol1": d["choices"][0], "sol2": d["choices"][1], "label": d["label"]}
        for d in benchmark.items
    ]
    data = Dataset.from_list(rows)
    stock = load_yaml(Path(lm_eval.__file__).parent / "tasks" / "piqa" / "piqa.yaml")
    for key in ("tag", "dataset_path", "dataset_name", "training_split"):
        stock.pop(key, None)
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"validation": data}})
    for doc, theirs in zip(benchmark.items, data, strict=True):
        assert render(benchmark, doc, [], "plain") == task.fewshot_context(theirs, 0)
        assert list(benchmark.choices(doc)) == task.doc_to_choice(theirs)
        assert doc["label"] == task.doc_to_target(theirs)
