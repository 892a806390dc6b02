import json
import random
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.prompting import render
from selfmoe_domain_reasoning.hellaswag import HellaSwag

ROWS = [
    {
        "ind": 7,
        "activity_label": "Baking bread",
        "ctx_a": "A woman stands in a kitchen.",
        "ctx_b": "she",
        "ctx": "A woman stands in a kitchen. she",
        "split": "val",
        "split_type": "indomain",
        "label": 2,
        "endings": ["flies to the moon.", "is a loaf.", "kneads some dough.", "swims in ä lake."],
        "source_id": "activitynet~v_0",
    },
    {
        "ind": 9,
        "activity_label": "Home and Garden",
        "ctx_a": "[header] How to water  plants [title] Fill a can. [step] Use tap water. ",
        "ctx_b": "",
        "ctx": "[header] How to water  plants [title] Fill a can. [step] Use tap water.",
        "split": "val",
        "split_type": "zeroshot",
        "label": 0,
        "endings": [
            "[substeps] Pour it  slowly. [title] Wait a day.",
            " Throw the can away [step] at once.",
            "Drink [it.",
            "Paint the plants.",
        ],
        "source_id": "wikihow~1",
    },
    {
        "ind": 10,
        "activity_label": "Health",
        "ctx_a": "[header] How to wash hands [title] Take soap. [step]",
        "ctx_b": "",
        "ctx": "[header] How to wash hands [title] Take soap. [step]",
        "split": "val",
        "split_type": "zeroshot",
        "label": 1,
        "endings": ["Eat it.", "Rub it between them.", "Paint it.", "Sell it."],
        "source_id": "wikihow~2",
    },
]


def write(folder: Path, rows: list) -> None:
    (folder / "hellaswag").mkdir(exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "hellaswag" / "hellaswag_val.jsonl").write_text(lines)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, ROWS)
    return tmp_path


def test_marks_are_removed(files):
    first, second, third = HellaSwag(Source("benchmark", files)).items
    assert first["query"] == "Baking bread: A woman stands in a kitchen. She"
    assert "[" not in second["query"] + second["choices"][0] + second["choices"][1]
    assert second["choices"][0] == " Pour it slowly.. Wait a day."
    assert third["query"] == "Health: How to wash hands. Take soap. "


def test_gold_scores_one_and_wrong_zero(files):
    benchmark = HellaSwag(Source("benchmark", files))
    for doc in benchmark.items:
        assert benchmark.score(doc, benchmark.gold(doc)) == {"score": 1.0}
        assert benchmark.score(doc, benchmark.wrong(doc)) == {"score": 0.0}
        assert benchmark.gold(doc) in benchmark.choices(doc)
    assert benchmark.gold(benchmark.items[0]) == "kneads some dough."


def test_chances_count_per_character(files):
    benchmark = HellaSwag(Source("benchmark", files))
    doc = benchmark.items[0]
    assert benchmark.pick(doc, [-18.0, -5.0, -9.0, -16.0]) == 1  # -1.0 -0.5 -0.5 -1.0
    assert benchmark.pick(doc, [-18.0, -5.0, -8.0, -16.0]) == 2
    assert benchmark.weigh(doc, [-18.0, -5.0, -8.0, -16.0]) == {"score": 1.0}


def test_the_hub_gives_the_same_items(files, monkeypatch):
    def load(path, name, split):
        assert (path, name, split) == ("Rowan/hellaswag", None, "validation")
        return [{**row, "label": str(row["label"])} for row in ROWS]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert HellaSwag(Source("benchmark")).items == HellaSwag(Source("benchmark", files)).items


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activity_label": ""}, "field 'activity_label'"),
        ({"ctx_b": None}, "field 'ctx_b'"),
        ({"endings": ["a", "b", "c"]}, "field 'endings'"),
        ({"endings": ["a", "b", "c", "[title]"]}, "field 'endings'"),
        ({"endings": "abcd"}, "field 'endings'"),
        ({"label": 4}, "label '4'"),
        ({"label": ""}, "label ''"),
    ],
)
def test_malformed_items_are_one_clear_error(files, change, message):
    write(files, [ROWS[0], {**ROWS[1], **change}])
    with pytest.raises(DataError, match=f"item 2: {message}"):
        _ = HellaSwag(Source("benchmark", files)).items


def test_a_missing_file_says_what_was_looked_for(tmp_path):
    with pytest.raises(MissingDataError, match=r"hellaswag_val\.jsonl"):
        HellaSwag(Source("benchmark", tmp_path)).files()


def test_prompts_and_scores_equal_those_of_lm_eval(files):
    pytest.importorskip("lm_eval")
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    from selfmoe.evaluation.harness import _after

    benchmark = HellaSwag(Source("benchmark", files))
    stock = load_yaml(Path(lm_eval.__file__).parent / "tasks" / "hellaswag" / "hellaswag.yaml")
    for key in ("tag", "dataset_path", "dataset_name", "training_split"):
        stock.pop(key, None)
    data = Dataset.from_list([{**row, "label": str(row["label"])} for row in ROWS])
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"validation": data}})
    rng = random.Random(0)
    for doc, theirs in zip(benchmark.items, task.validation_docs(), strict=True):
        assert render(benchmark, doc, [], "plain") == task.fewshot_context(theirs, 0)
        assert list(benchmark.choices(doc)) == task.doc_to_choice(theirs)
        prompt = task.fewshot_context(theirs, 0)
        asked = task.construct_requests(theirs, prompt, metadata=("", 0, 1))
        ours = [(prompt, _after(prompt, choice)) for choice in benchmark.choices(doc)]
        assert ours == [request.args for request in asked]
        for _ in range(20):
            chances = [-rng.uniform(1, 40) for _ in range(4)]
            found = task.process_results(theirs, [(chance, False) for chance in chances])
            assert benchmark.weigh(doc, chances)["score"] == found["acc_norm"]
