"""What systems keep of other abilities: `benchmarks/retention.py RUN --data FOLDER --out FOLDER`.

Base, experts and the named compositions of RUN are asked benchmarks on which nothing was trained,
by likelihood and without examples: PIQA, MMLU, TruthfulQA (mc2) and HellaSwag, those whose files
are in --data. What was asked is not asked again. Differences to the base are paired by item.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import click
from rich.table import Table

import selfmoe
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import MissingDataError, SelfmoeError
from selfmoe.contracts.records import Source
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.reporting.paired import compare
from selfmoe.reporting.terminal.progress import output
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import write_json
from selfmoe_domain_knowledge.mmlu import MMLU
from selfmoe_domain_knowledge.truthfulqa import TruthfulQA
from selfmoe_domain_reasoning.hellaswag import HellaSwag
from selfmoe_domain_reasoning.piqa import PIQA

Row = dict[str, Any]
Items = Mapping[str, Mapping[str, float]]
"""Item -> its ``score``, in 0..1."""
Answers = dict[str, dict[str, Items]]
"""System -> benchmark -> items, of one root seed."""
ASKED: Sequence[Callable[[Source], Benchmark]] = (PIQA, MMLU, TruthfulQA, HellaSwag)
CONFIDENCE = 0.95


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Keeps the answers.")
@click.option("--systems", default="mixse,instance", help="Compositions, with commas between.")
@click.option("--seed", "only", type=int, help="A root seed; default: all of the run's.")
@click.option("--limit", default=400, help="Items a benchmark.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Also write JSON there.")
def command(
    run: Path,
    data: Path,
    out: Path,
    systems: str,
    only: int | None,
    limit: int,
    target: Path | None,
) -> None:
    """Ask systems of RUN what nothing was trained on, and compare them with the base."""
    try:
        benchmarks = list(there(data))
        manifest = RunDirectory(run).manifest()
        experts = [name for name, kind in manifest.systems.items() if kind == "expert"]
        asked = ["base", *experts, *systems.split(",")]
        named = list(manifest.seeds) if only is None else [str(only)]
        seeds = [
            {name: answers(run, name, seed, benchmarks, limit, out) for name in asked}
            for seed in named
        ]
    except SelfmoeError as error:
        raise click.ClickException(str(error)) from None
    rows = [row(name, seeds, list(benchmarks)) for name in asked]
    if target is not None:
        facts = {"base": manifest.base.name, "items": limit, "confidence": CONFIDENCE}
        write_json(target, {**facts, "seeds": named, "systems": rows})
    _print(rows)


def there(data: Path) -> Iterator[Benchmark]:
    """Yield the benchmarks whose files are there."""
    for make in ASKED:
        benchmark = make(Source("benchmark", data))
        try:
            benchmark.files()
        except MissingDataError as error:
            output().print(f"{benchmark.name} is left out: {error}", markup=False)
        else:
            yield benchmark


def answers(
    run: Path, system: str, seed: str, benchmarks: Sequence[Benchmark], limit: int, out: Path
) -> dict[str, Items]:
    """Return the scores of a system's items by benchmark; the base is asked once for all seeds."""
    folder = out / ("base" if system == "base" else f"{system}-{seed}")
    files = {one.name: folder / f"{one.name}-{limit}.json" for one in benchmarks}
    missing = [one for one in benchmarks if not files[one.name].exists()]
    if missing:
        loaded = selfmoe.load(run, system, seed=int(seed))
        model: Any = loaded[0]
        for one in missing:
            output().print(f"root seed {seed}: {system} on {one.name}")
            _, rows = evaluate(
                model, loaded[1], one, Setup(limit, 16, template="plain", shots=0),
                benchmark_id=one.name, context=int(model.config.max_position_embeddings),
                work=folder / "work" / one.name,
            )  # fmt: skip
            write_json(files[one.name], {row["id"]: {"score": row["score"]} for row in rows})
    return {name: json.loads(path.read_text("utf-8")) for name, path in files.items()}


def row(system: str, seeds: Sequence[Answers], benchmarks: Sequence[Benchmark]) -> Row:
    """Return a system's mean scores, and its differences to the base with their intervals."""
    names = [one.name for one in benchmarks]
    parts = {name: [name] for name in names} | {"average": names}
    return {"system": system} | {
        part: _cell(system, [_only(answers, some) for answers in seeds])
        for part, some in parts.items()
    }


def _only(answers: Answers, names: Sequence[str]) -> Answers:
    return {system: {name: found[name] for name in names} for system, found in answers.items()}


def _cell(system: str, seeds: Sequence[Answers]) -> Row:
    means = [
        fmean(fmean(item["score"] for item in items.values()) for items in answers[system].values())
        for answers in seeds
    ]
    less = compare(seeds, system, "base", "score", CONFIDENCE) if system != "base" else None
    n = min(len(items) for answers in seeds for items in answers[system].values())
    return {"score": fmean(means), "n": n, "less_base": less and less.to_json()}


def _print(rows: Sequence[Row]) -> None:
    parts = [key for key in rows[0] if key != "system"]
    table = Table("system", *parts)
    for one in rows:
        table.add_row(one["system"], *(_told(one[part]) for part in parts))
    output().print(table)


def _told(cell: Row) -> str:
    less = cell["less_base"]
    score = f"{100 * cell['score']:.1f}"
    if less is None or less["low"] is None:
        return score
    low, difference, high = (100 * less[key] for key in ("low", "difference", "high"))
    return f"{score} ({difference:+.1f} [{low:+.1f}, {high:+.1f}])"


if __name__ == "__main__":
    command()
