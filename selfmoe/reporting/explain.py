"""Why every answer of an evaluation counts as it does; reads the run and the data, no model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import RunError, UnknownNameError, unknown_name
from selfmoe.contracts.names import BenchmarkName, CellName, EvaluationName
from selfmoe.evaluation.answers import describe
from selfmoe.evaluation.benchmarks import benchmarks_of
from selfmoe.store.directory import RunDirectory, directory_of
from selfmoe.store.files import check_intact, read_jsonl
from selfmoe.store.manifest import Manifest

Doc = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """One of the options of an item.

    Attributes:
        text: What was compared.
        loglikelihood: Of it after the prompt (natural).
        share: Of the probability of all options, in 0..1.
        picked: Whether it counts as the answer.
        right: Whether it is a right one; some items have several.
    """

    text: str
    loglikelihood: float
    share: float
    picked: bool
    right: bool


@dataclass(frozen=True)
class ItemVerdict:
    """One item, what was answered and what that counts.

    Attributes:
        id: The item's.
        prompt: The whole prompt.
        fits: Whether it left room for an answer; if not, the model was not asked.
        completion: What the model wrote, or the option picked.
        extracted: What is taken for the answer; ``None`` if there is none.
        gold: The right answer, in full.
        expected: What would be taken for the answer in ``gold``.
        score: In 0..1, in the form that the benchmark prescribes.
        lenient: In any form; ``None`` where the benchmark does not tell the two apart.
        options: Those that were compared; empty where the model wrote.
    """

    id: str
    prompt: str
    fits: bool
    completion: str
    extracted: str | None
    gold: str
    expected: str | None
    score: float
    lenient: float | None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What one system answered on one benchmark.

    Attributes:
        system: Its name.
        benchmark: The id, ``<domain>/<name>``.
        rule: How answers are found, in words.
        facts: What is stored of the score: ``value``, ``n``, ``extra``…
        verdicts: One an item, in order.
    """

    system: str
    benchmark: str
    rule: str
    facts: Mapping[str, Any]
    verdicts: tuple[ItemVerdict, ...]

    def wrong(self) -> Explanation:
        """Return the same with those items only that do not score 1."""
        return replace(self, verdicts=tuple(v for v in self.verdicts if v.score < 1.0))


def explain(run: Path, system: str, benchmark: str, seed: int | None = None) -> Explanation:
    """Return what a system of a run answered on a benchmark, and what that counts.

    Args:
        run: The run's folder.
        system: ``base``, ``expert-<name>`` or a composition's label.
        benchmark: ``<domain>/<name>``; the name alone where it is no other's.
        seed: Root seed; default: the run's first.

    Raises:
        RunError: If it is no finished run, or the system was not asked this.
        UnknownNameError: If the run has no such system, benchmark or root seed.
        DataError: If the benchmark's data is no longer there.
    """
    directory = directory_of(run)
    manifest = directory.manifest()
    config = resolve(manifest.config, str(run / "manifest.json"))
    chosen = manifest.chosen(config.root_seeds[0] if seed is None else seed)
    if system not in manifest.systems:
        raise unknown_name("system", system, manifest.systems)
    name, asked = _find(config, benchmark)
    facts, rows = _stored(directory, manifest, chosen, EvaluationName(system, name))
    docs = {str(doc["id"]): doc for doc in asked.items}
    for row in rows:
        _check_same_item(asked, docs, row, name, directory.again)
    verdicts = tuple(_verdict(asked, docs[row["id"]], row) for row in rows)
    about = asked.rule or (type(asked).__doc__ or "").strip().partition("\n")[0]
    return Explanation(system, str(name), describe(about), facts, verdicts)


def _find(config: RunConfig, wanted: str) -> tuple[BenchmarkName, Benchmark]:
    known: dict[BenchmarkName, Benchmark] = {}
    for domain in config.domains or []:
        offered = benchmarks_of(config.registry.configure("domain", domain), config.source)
        known |= {BenchmarkName(domain, b.name): b for b in offered}
    found = [name for name in known if wanted in (str(name), name.name)]
    if len(found) > 1:
        raise UnknownNameError(
            f"{len(found)} benchmarks are named '{wanted}': {', '.join(map(str, found))}\n"
            "  Name one of them."
        )
    if not found:
        raise unknown_name("benchmark", wanted, map(str, known))
    return found[0], known[found[0]]


def _stored(
    directory: RunDirectory, manifest: Manifest, seed: str, evaluation: EvaluationName
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the stored score and sample rows."""
    system, identity = evaluation.system, evaluation.benchmark
    cell = manifest.cell(seed, CellName("evaluate", str(evaluation)))
    if cell is None:
        raise _no_score(manifest, seed, evaluation, directory.again)
    folder = directory.root / cell.path
    check_intact(folder, directory.again)
    path = folder / f"{identity.stem}.json"
    if not path.exists():  # a row with examples, beside a benchmark that has its own
        raise RunError(f"'{system}' was not asked '{identity}': it is shown examples anyway")
    facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if facts.get("not_run"):
        raise RunError(f"'{identity}' was not run on '{system}': {facts['not_run']}")
    return facts, read_jsonl(path.with_suffix(".samples.jsonl"))


def _no_score(manifest: Manifest, seed: str, evaluation: EvaluationName, again: str) -> RunError:
    system, identity = evaluation.system, evaluation.benchmark
    if why := manifest.why_missing(seed, CellName("evaluate", str(evaluation))):
        return RunError(
            f"'{system}' has no score on '{identity}', for it failed: {why}\n"
            f"  This tries it again: {again}"
        )
    return RunError(
        f"'{system}' was not asked '{identity}'\n"
        f"  Asked were: {_asked(manifest, seed, system)}. Which benchmarks are asked is set by "
        "evaluate.benchmarks and by the data at hand."
    )


def _asked(manifest: Manifest, seed: str, system: str) -> str:
    cells = [name for name in manifest.named(seed) if name.stage == "evaluate"]
    names = [EvaluationName.parse(name.label) for name in cells]
    return ", ".join(str(name.benchmark) for name in names if name.system == system) or "none"


def _check_same_item(
    benchmark: Benchmark,
    docs: Mapping[str, Doc],
    row: Mapping[str, Any],
    name: BenchmarkName,
    again: str,
) -> None:
    doc = docs.get(row["id"])
    if doc is None or not _same_item(benchmark, doc, row):
        raise RunError(
            f"'{name}' has no item '{row['id']}' any more as it was asked: its data is not "
            f"that of the run\n  Put the data back, or evaluate on the new one: {again}"
        )


def _verdict(benchmark: Benchmark, doc: Doc, row: Mapping[str, Any]) -> ItemVerdict:
    completion = row["completion"]
    return ItemVerdict(
        id=row["id"],
        prompt=row["prompt"],
        fits=row["fits"],
        completion=completion,
        extracted=benchmark.extract(doc, completion) if row["fits"] else None,
        gold=row["gold"],
        expected=benchmark.extract(doc, row["gold"]),
        score=row["score"],
        lenient=row.get("lenient"),
        options=_options(benchmark, doc, row.get("loglikelihoods") or ()),
    )


def _same_item(benchmark: Benchmark, doc: Doc, row: Mapping[str, Any]) -> bool:
    """Return whether an item has the right answer and as many options as when it was asked."""
    chances, texts = row.get("loglikelihoods"), benchmark.choices(doc)
    if chances and len(chances) != len(texts or ()):
        return False
    return bool(benchmark.gold(doc) == row["gold"])


def _is_right(benchmark: Benchmark, doc: Doc, option: str) -> bool:
    return benchmark.score(doc, option)["score"] >= 1.0


def _options(benchmark: Benchmark, doc: Doc, chances: Sequence[float]) -> tuple[Option, ...]:
    texts = benchmark.choices(doc)
    if texts is None or not chances:
        return ()
    highest = max(chances)
    weights = [math.exp(chance - highest) for chance in chances]
    picked = benchmark.pick(doc, chances)
    return tuple(
        Option(
            text, chance, weight / sum(weights), place == picked, _is_right(benchmark, doc, text)
        )
        for place, (text, chance, weight) in enumerate(zip(texts, chances, weights, strict=True))
    )
