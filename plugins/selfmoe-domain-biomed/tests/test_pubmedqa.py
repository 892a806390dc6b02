"""PubMedQA: splits, sources, prompts, errors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from selfmoe.contracts import DataError, MissingDataError, Source
from selfmoe_domain_biomed import Biomed
from selfmoe_domain_biomed.pubmedqa import PubMedQA, official_ids, seeds


def ids(docs):
    return {doc["id"].removeprefix("pubmedqa-") for doc in docs}


def write(folder: Path, content) -> None:
    (folder / "pubmedqa" / "ori_pqal.json").write_text(json.dumps(content), "utf-8")


def test_the_official_test_set_has_500_questions():
    assert len(official_ids()) == 500
    assert all(number.isdigit() for number in official_ids())


def test_every_question_is_in_one_split(files, rows):
    test, dev = (PubMedQA(Source("benchmark", files, split)) for split in ("test", "dev"))
    drawn = {seed.id.removeprefix("pubmedqa-") for seed in seeds(test.source, 30, random.Random(0))}
    assert ids(test.items) == official_ids() & set(rows)
    assert ids(dev.items) == {number for number in set(rows) - official_ids() if number[-1] == "0"}
    assert ids(test.examples()) == drawn
    assert sorted(ids(test.items) | ids(dev.items) | drawn) == sorted(rows)
    assert len(test.items) + len(dev.items) + len(drawn) == len(rows)


def test_too_many_seeds_are_refused(files):
    with pytest.raises(DataError, match="30 questions for seeds, not 31"):
        Biomed().seeds(Source("benchmark", files), 31, random.Random(0))


def test_the_hub_gives_the_same_items(files, rows, monkeypatch):
    def load(path, name, split):
        assert (path, name, split) == ("qiaojin/PubMedQA", "pqa_labeled", "train")
        return [
            {
                "pubid": int(number),
                "question": row["QUESTION"],
                "context": {"contexts": row["CONTEXTS"], "labels": [], "meshes": []},
                "long_answer": "",
                "final_decision": row["final_decision"],
            }
            for number, row in rows.items()
        ]

    monkeypatch.setattr("datasets.load_dataset", load)
    remote, local = PubMedQA(Source("benchmark")), PubMedQA(Source("benchmark", files))
    assert remote.items == local.items
    assert remote.files() == ()
    assert local.files() == Biomed().files(local.source) == [files / "pubmedqa" / "ori_pqal.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"QUESTION": " "}, "field 'QUESTION' is missing"),
        ({"CONTEXTS": "text"}, "field 'CONTEXTS' must be a list"),
        ({"CONTEXTS": [1]}, "field 'CONTEXTS' must be a list"),
        ({"final_decision": "perhaps"}, "answer 'perhaps'"),
    ],
)
def test_malformed_questions_are_one_clear_error(files, rows, change, message):
    rows["801"] |= change
    write(files, rows)
    with pytest.raises(DataError, match=f"ori_pqal.json, item 801: {message}"):
        _ = PubMedQA(Source("benchmark", files)).items


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is no PubMedQA file"),
        ({"1": 2}, "item 1: field 'QUESTION'"),
        ({}, "no item of split 'test'"),
    ],
)
def test_other_files_are_one_clear_error(files, content, message):
    write(files, content)
    with pytest.raises(DataError, match=message):
        _ = PubMedQA(Source("benchmark", files)).items


def test_a_missing_file_says_what_was_looked_for(tmp_path):
    with pytest.raises(MissingDataError, match=r"ori_pqal\.json"):
        PubMedQA(Source("benchmark", tmp_path)).files()


def test_prompts_and_options_equal_those_of_lm_eval(files, rows):
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    benchmark = PubMedQA(Source("benchmark", files))
    stock = load_yaml(Path(lm_eval.__file__).parent / "tasks" / "pubmedqa" / "pubmedqa.yaml")
    for key in ("dataset_path", "dataset_name", "training_split", "validation_split"):
        stock.pop(key)
    data = Dataset.from_list([rows[doc["id"].removeprefix("pubmedqa-")] for doc in benchmark.items])
    task = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"test": data}})
    for doc, theirs in zip(benchmark.items, task.test_docs(), strict=True):
        assert benchmark.preamble(doc) + benchmark.plain(doc) == task.fewshot_context(theirs, 0)
        assert list(benchmark.choices(doc)) == task.doc_to_choice(theirs)
        assert benchmark.gold(doc) == task.doc_to_target(theirs)
