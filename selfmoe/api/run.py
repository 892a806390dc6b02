"""Doing what settings ask for: the whole pipeline, then the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.config.yaml_text import read_yaml_file
from selfmoe.contracts.errors import ConfigError
from selfmoe.contracts.paths import expand, written
from selfmoe.pipeline.execute import execute
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.outcome import Outcome
from selfmoe.pipeline.ranks import together
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.registry.registry import LOCAL
from selfmoe.reporting.model import RunResults
from selfmoe.reporting.report import write_report
from selfmoe.reporting.results import read_results
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.directory import CONFIG, LOCK


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        path: Its folder.
        config: Its complete settings.
        results: What ``report/results.json`` holds.
        built: Number of cells that were made now; 0 if all were there already.
    """

    path: Path
    config: RunConfig
    results: RunResults
    built: int


Settings = RunConfig | Mapping[str, Any] | str | Path


def run(config: Settings, *, display: Display | None = None) -> Run:
    """Do what the settings ask for, as far as it is not done yet, and return the run.

    Args:
        config: The settings, the same as a mapping, or a path to them in YAML; what they leave out
            is filled in.
        display: Where progress is shown; default: standard error.

    Raises:
        SelfmoeError: If settings or data are wrong, or a stage cannot go on. What was finished is
            kept; the same call goes on from there.
    """
    finished, outcome = run_plans(make_plans(complete(config)), display or Display())
    outcome.raise_failures()
    return finished


def run_plans(plans: RunPlan, display: Display) -> tuple[Run, Outcome]:
    """Execute plans and write the report on what could be done; see ``run``.

    Of several processes the first does that; the others fit with it and return what it has written.
    """
    directory, outcome = plans.directory.root, Outcome()
    with together(plans, display) as leading:
        if leading:
            outcome = execute(plans, display)
            write_report(directory, again=bool(outcome.built))
    finished = Run(directory, plans.config, read_results(directory), len(outcome.built))
    return finished, outcome


def complete(config: Settings) -> RunConfig:
    """Return settings with everything filled in; see ``selfmoe.config.resolve.resolve``.

    Raises:
        ConfigError: If they are wrong, or no settings at all.
    """
    if isinstance(config, RunConfig):
        return resolve(config.model_dump(mode="json", exclude_unset=True), "RunConfig")
    if isinstance(config, Mapping):
        return resolve(config)
    if not isinstance(config, str | Path):
        raise ConfigError(
            f"expected settings, not {type(config).__name__}: a path to a YAML file, a mapping, or "
            "a selfmoe.RunConfig"
        )
    path = expand(config)
    return resolve(from_yaml(path), str(path))


def from_yaml(path: Path) -> dict[str, Any]:
    """Return the raw settings in a YAML file; a ``selfmoe_plugin.py`` beside it is a plugin too.

    The file that a run keeps of its settings is about that run, wherever it was moved to; one from
    before there were other templates is about Alpaca's.
    """
    raw = read_yaml_file(path)
    if path.name == CONFIG and (path.parent / LOCK).is_file():
        raw["out"] = written(path.parent.absolute())
        raw.setdefault("prompts", {"template": "alpaca"})
    if (path.parent / LOCAL).is_file():
        raw.setdefault("plugin_dir", written(path.parent.resolve()))
    return raw
