"""lm-eval's own tasks beside selfmoe's scores: `benchmarks/cross_check.py RUN --data FOLDER`.

PIQA and GSM8K as lm-eval defines them (`piqa`, `gsm8k_cot`), on the same rows and answered by
lm-eval's own HFLM, are compared item by item with selfmoe's evaluation: of the base, of the first
expert as PEFT loads it, and of the first composition of RUN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
from rich.table import Table

import selfmoe
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.names import CellName
from selfmoe.contracts.records import Source
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.evaluation.harness import quiet
from selfmoe.evaluation.stock import stock_settings
from selfmoe.reporting.terminal.progress import output
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import write_json
from selfmoe_domain_math.gsm8k import GSM8K
from selfmoe_domain_reasoning.piqa import PIQA

Row = dict[str, Any]
Doc = Mapping[str, Any]


class Answer(NamedTuple):
    """What came of an item: its score, 0 or 1, and the text, where one is written."""

    score: float
    text: str


@dataclass(frozen=True)
class Task:
    """A task of lm-eval and the benchmark that asks the same.

    Attributes:
        name: ``<domain>/<name>`` of the benchmark.
        benchmark: What makes the benchmark.
        stock: lm-eval's file.
        row: Makes the row that the task reads of an item.
        metric: lm-eval's name of what ``score`` is.
    """

    name: str
    benchmark: Callable[[Source], Benchmark]
    stock: str
    row: Callable[[Doc], Row]
    metric: str


TASKS = (
    Task(
        "reasoning/piqa",
        PIQA,
        "piqa/piqa.yaml",
        lambda doc: {
            "goal": doc["goal"],
            "label": doc["label"],
            **dict(zip(("sol1", "sol2"), doc["choices"], strict=True)),
        },
        "acc",
    ),
    Task(
        "math/gsm8k",
        GSM8K,
        "gsm8k/gsm8k-cot.yaml",
        lambda doc: {"question": doc["question"], "answer": doc["answer"]},
        "exact_match",
    ),
)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--limit", default=40, help="Items a task.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Also write JSON there.")
def command(run: Path, data: Path, limit: int, target: Path | None) -> None:
    """Compare the scores of systems of RUN, item by item, on the benchmark files in --data."""
    rows: list[Row] = []
    try:
        for system in systems(run):
            for task in TASKS:
                rows.append({"system": system, **compare(run, system, task, data, limit)})
                output().print(f"{system} on {task.name}: {rows[-1]['same']} of {limit} the same")
    except SelfmoeError as error:
        raise click.ClickException(str(error)) from None
    if target is not None:
        base = RunDirectory(run).manifest().base.name
        versions = {name: version(name) for name in ("lm-eval", "peft", "transformers")}
        write_json(target, {"base": base, "items": limit, "versions": versions, "rows": rows})
    _print(rows)


def systems(run: Path) -> list[str]:
    """Return the base, the first expert and the first composition of a run."""
    found: dict[str, str] = {}
    for name, kind in RunDirectory(run).manifest().systems.items():
        found.setdefault("composed" if kind in ("router", "merge") else kind, name)
    return list(found.values())


def compare(run: Path, system: str, task: Task, data: Path, limit: int) -> Row:
    """Return how one system's items are scored by both, and which are scored otherwise."""
    benchmark = task.benchmark(Source("benchmark", data))
    docs = benchmark.items[:limit]
    ours = _ours(run, system, task, benchmark, limit)
    theirs = _theirs(run, system, task, benchmark, docs)
    other = [
        {"id": doc["id"], "selfmoe": one, "lm-eval": another}
        for doc, one, another in zip(docs, ours, theirs, strict=True)
        if one != another
    ]
    return {
        "benchmark": task.name,
        "items": len(docs),
        "same": sum(one.score == another.score for one, another in zip(ours, theirs, strict=True)),
        "same_texts": len(docs) - len(other),
        "selfmoe": fmean(answer.score for answer in ours),
        "lm-eval": fmean(answer.score for answer in theirs),
        "other": other,
    }


def _ours(run: Path, system: str, task: Task, benchmark: Benchmark, limit: int) -> list[Answer]:
    model, tokenizer = selfmoe.load(run, system)
    with TemporaryDirectory() as work:
        _, rows = evaluate(
            model, tokenizer, benchmark, Setup(limit, template="plain"),
            benchmark_id=task.name, context=_context(model), work=Path(work),
        )  # fmt: skip
    written = benchmark.choices(benchmark.items[0]) is None
    return [Answer(row["score"], row["completion"] if written else "") for row in rows]


def _theirs(
    run: Path, system: str, task: Task, benchmark: Benchmark, docs: Sequence[Doc]
) -> list[Answer]:
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate as ask
    from lm_eval.models.huggingface import HFLM

    settings = stock_settings(task.stock)
    for key in ("tag", "dataset_path", "dataset_name", "training_split", "test_split"):
        settings.pop(key, None)
    rows = Dataset.from_list([task.row(doc) for doc in docs])
    made = {"custom_dataset": lambda **_: {"validation": rows}, "validation_split": "validation"}
    if "generation_kwargs" in settings:
        settings["generation_kwargs"]["max_gen_toks"] = benchmark.max_new_tokens
    model, tokenizer = loaded(run, system)
    with quiet():
        stock = ConfigurableTask(config={**settings, **made})
        model = HFLM(model, tokenizer=tokenizer, backend="causal", batch_size=8)
        found = ask(model, {"tasks": {stock.config.task: stock}}, bootstrap_iters=0)
    return list(_answers(found["samples"][stock.config.task], task.metric))


def _answers(samples: Sequence[Row], metric: str) -> Iterator[Answer]:
    """Yield what came of items, in order; of several filters the first, which is the strict."""
    first = samples[0]["filter"]
    kept = (sample for sample in samples if sample["filter"] == first)
    for sample in sorted(kept, key=lambda sample: int(sample["doc_id"])):
        said = sample["resps"][0][0]
        yield Answer(float(sample[metric]), said if isinstance(said, str) else "")


def loaded(run: Path, system: str) -> tuple[Any, Any]:
    """Return a system and its tokenizer; an expert as PEFT loads its folder."""
    manifest = RunDirectory(run).manifest()
    named = manifest.system(system)
    assert named is not None
    if named.kind != "expert":
        return selfmoe.load(run, system)
    from peft import PeftModel

    model, tokenizer = selfmoe.load(run, "base")
    cell = manifest.cell(manifest.seeds[0], CellName("specialise", named.expert))
    assert cell is not None
    return PeftModel.from_pretrained(model, str(run / cell.path)).eval(), tokenizer


def _context(model: Any) -> int:
    return int(model.config.max_position_embeddings)


def _print(rows: Sequence[Row]) -> None:
    table = Table("system", "benchmark", "selfmoe", "lm-eval", "same score", "same text")
    for row in rows:
        scores = (f"{100 * row[by]:.1f}" for by in ("selfmoe", "lm-eval"))
        same = (f"{row[key]} of {row['items']}" for key in ("same", "same_texts"))
        table.add_row(row["system"], row["benchmark"], *scores, *same)
    output().print(table)


if __name__ == "__main__":
    command()
