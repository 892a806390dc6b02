"""``selfmoe compare-logs``: items find each other, and what differs beside the models is said."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import fmean, stdev

import pytest

import selfmoe
from selfmoe.contracts.errors import DataError
from selfmoe.reporting.logs.reading import read_model, read_task
from selfmoe.testing.models import tiny_llama, tiny_tokenizer

DATE = "2026-01-02T03-04-05.678901"


def row(number: int, filter_: str = "none", /, **metrics) -> dict:
    """Return a row as lm-eval 0.4.13 writes it."""
    return {
        "doc_id": number,
        "doc": {"question": f"What is {number}?"},
        "target": str(number),
        "arguments": {"gen_args_0": {"arg_0": f"What is {number}?", "arg_1": {"until": ["\n"]}}},
        "resps": [["5"]],
        "filtered_resps": ["5"],
        "filter": filter_,
        "metrics": list(metrics),
        "doc_hash": f"document {number}",
        "prompt_hash": f"prompt {number}",
        "target_hash": f"target {number}",
        **metrics,
    }


@pytest.fixture
def write(tmp_path):
    """Return what writes the samples of a model: ``write(model, task, rows, **results)``."""

    def written(model: str, task: str, rows: list[dict], date: str = DATE, **results) -> Path:
        folder = tmp_path / model / "by_name"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"samples_{task}_{date}.jsonl"
        file.write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
        told = {key: {task: value} for key, value in results.items()}
        (folder / f"results_{date}.json").write_text(json.dumps(told))
        return tmp_path / model

    return written


def rights(*values: int) -> list[dict]:
    return [row(i, acc=float(value)) for i, value in enumerate(values)]


def test_items_that_differ_are_counted_and_tested_exactly(write):
    a, b = write("a", "sums", rights(1, 0, 0, 0, 0, 1, 1)), write("b", "sums", rights(*[1] * 6, 0))
    (found,) = selfmoe.compare_logs(a, b).rows
    assert (found.n, found.won, found.lost, found.equal) == (7, 4, 1, 2)
    assert (found.a, found.b) == pytest.approx((3 / 7, 6 / 7))
    assert found.test == "McNemar, exact"
    assert found.difference.p == pytest.approx(2 * (1 + 5) / 32)
    differences = [0, 1, 1, 1, 1, 0, -1]
    half = 1.959964 * stdev(differences) / 7**0.5
    assert found.difference.difference == pytest.approx(fmean(differences))
    assert found.difference.low == pytest.approx(fmean(differences) - half, abs=1e-6)


def test_a_model_with_itself_differs_in_nothing(write):
    a = write("a", "sums", rights(1, 0, 1))
    (found,) = selfmoe.compare_logs(a, a).rows
    assert (found.difference.p, found.difference.low, found.equal) == (1.0, None, 3)


def test_items_are_found_by_their_content_whatever_part_was_asked(write):
    a = write("a", "sums", rights(1, 0, 0, 1))
    part = [{**one, "doc_id": i} for i, one in enumerate(rights(9, 1, 1, 1, 0)[1:])]
    found = selfmoe.compare_logs(a, write("b", "sums", part))
    assert (found.rows[0].n, found.rows[0].won, found.rows[0].lost) == (3, 2, 0)
    assert [note.partition(" in /")[0] for note in found.notes] == [
        "sums: 1 item only", "sums: 1 item only"
    ]  # fmt: skip


def test_documents_that_are_there_twice_are_two_items(write):
    twice = [*rights(1, 0), row(0, acc=0.0)]
    a, b = write("a", "sums", twice), write("b", "sums", [*rights(1, 1), row(0, acc=1.0)])
    (found,) = selfmoe.compare_logs(a, b).rows
    assert (found.n, found.won, found.lost) == (3, 2, 0)


def test_every_filter_is_a_metric_of_its_own(write):
    def of(strict, loose):
        rows = [row(i, "strict", exact_match=v) for i, v in enumerate(strict)]
        return rows + [row(i, "loose", exact_match=v) for i, v in enumerate(loose)]

    found = selfmoe.compare_logs(
        write("a", "sums", of([0, 0], [1, 1])), write("b", "sums", of([1, 0], [1, 0]))
    )
    shown = {r.metric: (r.n, r.won, r.lost) for r in found.rows}
    assert shown == {"exact_match,strict": (2, 1, 0), "exact_match,loose": (2, 0, 1)}


def test_of_some_metrics_less_is_better(write):
    up = {"higher_is_better": {"loss": False}}
    a = write("a", "sums", [row(i, loss=2.0 + i) for i in range(3)], **up)
    b = write("b", "sums", [row(i, loss=1.0 + i) for i in range(3)], **up)
    (found,) = selfmoe.compare_logs(a, b).rows
    assert (found.won, found.lost, found.lower_is_better, found.share) == (3, 0, True, False)
    assert found.test == "sign flips"
    assert found.difference.p == pytest.approx(2 / 8)
    assert (found.difference.difference, found.difference.low) == (-1.0, None)  # no spread


def test_what_is_no_number_an_item_is_told(write):
    rows = [row(i, acc=1.0, bleu=["5", "6"]) for i in range(2)]
    found = selfmoe.compare_logs(write("a", "sums", rows), write("b", "sums", rows))
    assert [r.metric for r in found.rows] == ["acc"]
    assert found.notes == ["sums: bleu is no number an item and cannot be paired"]
    only = [row(i, bleu=["5", "6"]) for i in range(2)]
    with pytest.raises(DataError, match=r"nothing can be compared\n.*bleu"):
        selfmoe.compare_logs(write("c", "sums", only), write("d", "sums", only))


def test_tasks_have_an_average_in_which_each_counts_alike(write):
    write("a", "many", rights(*[0] * 8))
    write("a", "alone", rights(0, 0))
    a, b = write("a", "few", rights(0, 1)), write("b", "few", rights(1, 1))
    write("b", "many", rights(*[0] * 7, 1))
    write("b", "other", rights(1, 1))
    found = selfmoe.compare_logs(a, b)
    assert [(r.task, r.n) for r in found.rows] == [("few", 2), ("many", 8), ("average", 10)]
    average = found.rows[-1]
    assert average.difference.difference == pytest.approx((1 / 2 + 1 / 8) / 2)
    assert average.difference.p == pytest.approx(2 / 4)
    assert [note.partition(":")[0] for note in found.notes] == ["alone", "other"]


@pytest.mark.parametrize(
    ("changes", "results", "said"),
    [
        ({"prompt_hash": "another"}, {}, "prompts of 3 of 3 items differ"),
        ({"target_hash": "another"}, {}, "right answers of 3 of 3 items differ"),
        ({}, {"n-shot": 5}, "0 and 5 solved examples"),
    ],
)
def test_models_that_were_not_asked_alike_are_compared_on_request_only(
    write, changes, results, said
):
    a = write("a", "sums", rights(1, 0, 1), **{"n-shot": 0})
    b = write("b", "sums", [one | changes for one in rights(1, 1, 1)], **results)
    with pytest.raises(DataError, match=rf"(?s)not asked alike: {said}.*--any-prompt"):
        selfmoe.compare_logs(a, b)
    found = selfmoe.compare_logs(a, b, any_prompt=True)
    assert found.notes == [f"sums was not asked alike: {said}"]
    assert found.rows[0].won == 1


def test_older_releases_have_fewer_fields(write):
    def older(value):
        gone = ("metrics", "doc_hash", "prompt_hash", "target_hash", "filter")
        return [{k: v for k, v in one.items() if k not in gone} for one in rights(*value)]

    a, b = write("a", "sums", older([0, 0, 1])), write("b", "sums", older([1, 1, 1]))
    (found,) = selfmoe.compare_logs(a, b).rows
    assert (found.metric, found.n, found.won) == ("acc", 3, 2)


def test_the_newest_log_of_a_task_is_read(write):
    write("a", "sums", rights(0, 0), date="2025-12-31T23-59-59.000001")
    a = write("a", "sums", rights(1, 1))
    (found,) = selfmoe.compare_logs(a, a).rows
    assert found.a == 1.0
    assert "of several logs of sums the newest is read" in read_model(a).notes[0]


def test_two_files_are_one_task_whatever_they_are_called(write, tmp_path):
    a = next(write("a", "sums", rights(0, 0)).rglob("samples_*"))
    other = tmp_path / "mine.jsonl"
    other.write_text(a.read_text())
    found = selfmoe.compare_logs(a, other)
    assert found.notes == ["sums is compared with mine"]


def test_own_samples_are_paired_by_id(tmp_path):
    def own(name, scores, **more):
        (tmp_path / name).mkdir()
        rows = [
            {"id": f"i{n}", "prompt": f"p{n}", "completion": "", "gold": "g", "score": float(s)}
            | {"shots_asked": 0, "shots_used": 0, "prompt_tokens": 3, "fits": True} | more
            for n, s in enumerate(scores)
        ]  # fmt: skip
        file = tmp_path / name / "math.mini.samples.jsonl"
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
        return tmp_path / name

    a, b = own("a", [0, 0, 1], lenient=1.0), own("b", [1, 1, 0], lenient=1.0)
    found = selfmoe.compare_logs(a, b)
    shown = {(r.task, r.metric): (r.won, r.lost) for r in found.rows}
    assert shown == {("math/mini", "score"): (2, 1), ("math/mini", "lenient"): (0, 0)}
    with pytest.raises(DataError, match="0 and 5 solved examples"):
        selfmoe.compare_logs(a, own("c", [1, 1, 1], shots_asked=5))


def test_cells_of_one_system_are_one_model(tmp_path):
    for name in ("math", "coding"):
        cell = tmp_path / "evaluations" / f"base@{name}"
        cell.mkdir(parents=True)
        (cell / "cell.json").write_text("{}")
        rows = [{"id": str(n), "prompt": "", "gold": "", "score": 1.0} for n in range(2)]
        text = "".join(json.dumps(r) + "\n" for r in rows)
        (cell / f"{name}.mini.samples.jsonl").write_text(text)
    assert list(read_model(tmp_path).tasks) == ["coding/mini", "math/mini"]
    (tmp_path / "evaluations" / "base@math").rename(tmp_path / "evaluations" / "ties@math")
    with pytest.raises(DataError, match="several models"):
        read_model(tmp_path)


def test_what_is_no_log_is_named(tmp_path, write):
    a = write("a", "sums", rights(0, 1))
    write("b", "sums", rights(0, 1))
    for path, said in (
        (tmp_path / "absent", "there is no"),
        (tmp_path, "holds samples of several models"),
        (tmp_path / "a" / "by_name" / f"results_{DATE}.json", "holds results, not samples"),
    ):
        with pytest.raises(DataError, match=said):
            selfmoe.compare_logs(path, a)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--log_samples"):
        read_model(tmp_path / "empty")
    (tmp_path / "rows.jsonl").write_text('{"question": "?"}\n')
    with pytest.raises(DataError, match="its first row has the fields question"):
        read_task(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no samples"):
        read_task(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row(0, acc=1.0)) + '\n{"id": 3}\n')
    with pytest.raises(DataError, match="row 2: no sample of lm-eval"):
        read_task(tmp_path / "rows.jsonl")
    with pytest.raises(DataError, match="0 items in common"):
        selfmoe.compare_logs(a, write("c", "sums", [row(i, acc=1.0) for i in range(7, 9)]))
    with pytest.raises(DataError, match="no task in common"):
        selfmoe.compare_logs(a, write("d", "products", rights(1, 1)))


# --- logs that lm-eval itself has written ---------------------------------------------------------

TASK = """
task: tiny_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
"""
CHOICE = 'output_type: multiple_choice\ndoc_to_choice: ["a", "b"]\nmetric_list: [{metric: acc}]\n'
WRITTEN = """output_type: generate_until
generation_kwargs: {max_gen_toks: 3}
metric_list: [{metric: exact_match}, {metric: bleu}]
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "(a)"}, {function: take_first}]}
  - {name: loose, filter: [{function: take_first}]}
"""


@pytest.fixture(scope="module")
def by_lm_eval(tmp_path_factory):
    """Return a folder with what lm-eval wrote of two random models, and what it said of them."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    room = tmp_path_factory.mktemp("lm-eval")
    drawn = random.Random(0)
    rows = [{"q": f"What is {i}?", "a": drawn.randrange(2)} for i in range(20)]
    (room / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    for name, rest in (("choice", CHOICE), ("written", WRITTEN)):
        text = TASK.format(name=name, data=room / "test.jsonl") + rest
        (room / f"{name}.yaml").write_text(text)
    manager, said = TaskManager(include_path=str(room), include_defaults=False), {}
    for seed, model in enumerate("ab"):
        tiny_llama(seed, num_hidden_layers=2).save_pretrained(room / model)
        tiny_tokenizer().save_pretrained(room / model)
        tracker = EvaluationTracker(output_path=str(room / "logs" / model))
        results = simple_evaluate(
            model="hf",
            model_args=f"pretrained={room / model},dtype=float32",
            tasks=["tiny_choice", "tiny_written"],
            task_manager=manager,
            device="cpu",
            batch_size=10,
            evaluation_tracker=tracker,
            bootstrap_iters=0,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results, samples)
        for task, of_task in samples.items():
            tracker.save_results_samples(task, of_task)
        said[model] = results["results"]
    return room / "logs", said


def test_logs_that_lm_eval_wrote(by_lm_eval, monkeypatch):
    logs, said = by_lm_eval
    found = selfmoe.compare_logs(logs / "a", logs / "b")
    for one in found.rows[:-1]:
        metric = one.metric if "," in one.metric else f"{one.metric},none"
        assert one.n == 20
        assert one.a == pytest.approx(said["a"][one.task][metric])
        assert one.b == pytest.approx(said["b"][one.task][metric])
    assert {r.metric for r in found.rows} == {"acc", "exact_match,strict", "exact_match,loose"}
    assert any("bleu" in note for note in found.notes)
    assert {task.shots for task in read_model(logs / "a").tasks.values()} == {0}


def test_the_command_line_shows_a_table(by_lm_eval, cli):
    logs, _ = by_lm_eval
    done = cli("compare-logs", str(logs / "a"), str(logs / "b"))
    assert done.exit_code == 0, done.output
    for text in ("tiny_choice", "B less A", "B wins", "McNemar, exact", "95 % interval", "bleu"):
        assert text in done.stdout
    found = json.loads(cli("compare-logs", str(logs / "a"), str(logs / "b"), "--json").stdout)
    assert found["rows"][0]["task"] == "tiny_choice"
    done = cli("compare-logs", str(logs), str(logs / "b"))
    assert (done.exit_code, "several models" in done.stderr) == (1, True)
