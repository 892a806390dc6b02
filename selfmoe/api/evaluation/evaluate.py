"""Doing an evaluation: what is missing is asked, then the scores are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.api.evaluation.adapters import Adapters, named
from selfmoe.api.evaluation.plan import EvaluationPlan, plan_evaluation
from selfmoe.api.evaluation.settings import READ
from selfmoe.config.layers import merge
from selfmoe.config.model import RunConfig
from selfmoe.config.yaml_text import settings_text
from selfmoe.contracts.records import ScoredSplit, Track
from selfmoe.pipeline.execute import fill, manifest_of
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.session import Session
from selfmoe.reporting.evaluation import EvaluationResults, collect_evaluation
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.directory import EvaluationDirectory
from selfmoe.store.files import write_atomic


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        path: Its folder; ``selfmoe explain-score`` shows every answer in it.
        config: Its complete settings.
        results: What its ``results.json`` holds.
        built: Number of cells that were made now; 0 if all were there already.
    """

    path: Path
    config: RunConfig
    results: EvaluationResults
    built: int


def evaluate(
    base: str | Path,
    *,
    adapters: Adapters = (),
    benchmarks: Sequence[str] | None = None,
    shots: int | None = None,
    limit: int | None = None,
    track: Track | None = None,
    data_dir: str | Path | None = None,
    split: ScoredSplit | None = None,
    device: str | None = None,
    dtype: str | None = None,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    display: Display | None = None,
) -> Evaluation:
    """Ask benchmarks of a base, and of adapters on it, without a run; nothing is done twice.

    Args:
        base: Base plugin, folder of a model, GGUF file, or hub id.
        adapters: PEFT LoRA folders by name, or a sequence of them, ``"name=folder"`` or the folder
            alone; each is a system ``expert-<name>`` beside the base.
        benchmarks: Ids such as ``math/gsm8k``; default: those that a run asks.
        shots: Solved examples to show in further rows, on benchmarks that prescribe none.
        limit: Items a benchmark; default: as the preset says.
        track: ``mini`` (shipped, procedural; the default) or ``benchmark`` (real).
        data_dir: Folder of upstream benchmark files; without it the hub is asked.
        split: ``test`` (default) or ``dev``.
        device: Where to run; default: the fastest there is.
        dtype: Number format of the base; default: bfloat16 where the device multiplies in it.
        out: Where results lie; default: ``evaluations/<base>``.
        settings: Further settings, nested as in a run file: ``{"evaluate": {"batch_size": 8}}``.
        display: Where progress is shown; default: standard error.

    Returns:
        The scores, with their intervals, and where the answers lie.

    Raises:
        SelfmoeError: If anything named is wrong (before a model is loaded), or a benchmark could
            not be asked. What was finished is kept; the same call goes on from there.
    """
    named_ones = [benchmarks] if isinstance(benchmarks, str) else benchmarks
    asked: dict[str, Any] = {"base_shots": shots, "limit": limit, "split": split}
    asked["benchmarks"] = None if named_ones is None else list(named_ones)
    flags = {"base": str(base), "track": track, "device": device, "dtype": dtype}
    flags |= {"data_dir": _text(data_dir), "out": _text(out)}
    raw = merge(settings or {}, _given(flags), {"evaluate": _given(asked)})
    if adapters:
        raw["adapters"] = named(adapters)
    finished, outcome = carry_out(plan_evaluation(raw), display or Display())
    outcome.raise_failures()
    return finished


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def carry_out(plan: EvaluationPlan, display: Display) -> tuple[Evaluation, Outcome]:
    """Do what a plan says, and write the scores of what could be asked."""
    directory = plan.directory
    with directory.writing():
        _write_settings(directory, plan.config)
        directory.write_plan(plan.rows)
        outcome = fill(plan.tasks, Session(plan.config, plan.base, display))
        directory.write_manifest(manifest_of(plan, outcome))
        results = collect_evaluation(directory.root)
        results.write(directory.results)
    return Evaluation(directory.root, plan.config, results, len(outcome.built)), outcome


def _write_settings(directory: EvaluationDirectory, config: RunConfig) -> None:
    """Write what the command without a base goes on with; first, for it tells what lies here."""
    values = config.model_dump(mode="json", include=set(READ) - {"out"})
    text = settings_text({key: value for key, value in values.items() if value})
    path = directory.root / directory.SETTINGS
    if not path.exists() or path.read_text("utf-8") != text:
        write_atomic(path, text)
