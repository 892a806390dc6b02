"""Adding an expert to a finished run, and taking one away again.

Both change a few settings and run: what does not depend on them is there already, because cells
are named by what they are made from. Former experts are never touched, and taking an expert away
finds the former system as it was.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.api.expert_settings import (
    Join,
    RawSettings,
    experts_of,
    grown,
    is_of,
    routed_labels,
    shrunk,
    without,
)
from selfmoe.api.expert_source import ExpertSource, check_source, made_of, with_source
from selfmoe.api.run import Run, from_yaml, run_plans
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import ConfigError, unknown_name
from selfmoe.contracts.paths import expand
from selfmoe.pipeline.execute import execute, manifest_of
from selfmoe.pipeline.make import make_plans
from selfmoe.reporting.model import Changes, GrowthResults
from selfmoe.reporting.paired import changes
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.cells import Cells
from selfmoe.store.directory import CONFIG, RunDirectory

__all__ = ["ExpertSource", "Growth", "Join", "add_expert", "remove_expert"]


@dataclass(frozen=True)
class Growth:
    """What adding an expert came to.

    Attributes:
        run: The run as it is now.
        expert: The new expert.
        join: How it joined: ``refit`` or ``extend``.
        systems: ``system -> benchmark -> what became of it``; see
            ``selfmoe.reporting.paired.changes``.
        left: The compositions that stay as they are, made of the former experts.
    """

    run: Run
    expert: str
    join: Join
    systems: Mapping[str, Mapping[str, Changes]]
    left: Sequence[str]

    @property
    def record(self) -> GrowthResults:
        """Return the same as it is written to JSON."""
        return GrowthResults(
            expert=self.expert,
            router=self.join,
            systems=self.systems,
            left=list(self.left),
            results=self.run.results,
        )


def add_expert(
    run: str | Path,
    name: str,
    *,
    join: Join | None = None,
    systems: Sequence[str] | None = None,
    source: ExpertSource | None = None,
    display: Display | None = None,
) -> Growth:
    """Return a run with one more expert; only what depends on it is made.

    Args:
        run: Folder of a finished run. An addition that was interrupted goes on.
        name: The expert: a domain that a plugin provides, or any name with a ``source``.
        join: ``refit`` makes the compositions anew of all experts; ``extend`` lets the new one join
            them and leaves what the others have learnt bit for bit. Default: ``refit``, or as it
            joined if it is there.
        systems: Labels of the compositions it joins; default: all that route.
        source: Where it comes from, unless a plugin provides the domain.
        display: Where progress is shown; default: standard error.

    Raises:
        SelfmoeError: If the run or the request is wrong, or something could not be made.
    """
    display, source = display or Display(), source or ExpertSource()
    root = expand(run)
    RunDirectory(root).manifest()  # refuses what is no finished run
    raw = from_yaml(root / CONFIG)
    after = raw
    if name not in experts_of(raw):
        labels = routed_labels(raw, systems)
        after = grown(with_source(raw, name, source), name, labels, join or "refit")
    elif _asks_otherwise(raw, name, join, systems, source):
        raise ConfigError(
            f"the run has an expert '{name}' already, added otherwise than is asked now\n"
            f"  Choose another name, or take it out first: {_removing(root, name)}"
        )
    config = resolve(after, f"adding expert '{name}'")
    check_source(config, name, source)
    _warn_unscored(config, name, display)
    changed = [label for label, entry in (config.compose or {}).items() if _has(entry, name)]
    finished, outcome = run_plans(make_plans(config), display)
    outcome.raise_failures()
    before, now = _before(root, without(after, name, changed), display), Cells(root)
    level = config.report.confidence
    told = {label: changes(before, now, label, level) for label in changed}
    left = [label for label in config.compose or {} if label not in changed]
    extended = [label for label in changed if name in (config.compose or {})[label].extend]
    return Growth(finished, name, "extend" if extended else "refit", told, left)


def _before(root: Path, raw: RawSettings, display: Display) -> Cells:
    """Return the cells of the system as it was; what is missing of them is made."""
    plans = make_plans(resolve(raw, "the system before"))
    outcome = execute(plans, display, recorded=False)
    outcome.raise_failures()
    return Cells(root, manifest_of(plans, outcome))


def remove_expert(run: str | Path, name: str, *, display: Display | None = None) -> Run:
    """Return a run without one of its experts; what was made without it is found again.

    Args:
        run: Folder of a finished run.
        name: The expert.
        display: Where progress is shown; default: standard error.

    Raises:
        UnknownNameError: If the run has no such expert.
        ConfigError: If it is the only one, of the run or of a composition.
        SelfmoeError: If something could not be made.
    """
    root = expand(run)
    RunDirectory(root).manifest()
    raw = from_yaml(root / CONFIG)
    experts = experts_of(raw)
    if name not in experts:
        raise unknown_name("expert", name, experts)
    config = resolve(shrunk(raw, name), f"removing expert '{name}'")
    finished, outcome = run_plans(make_plans(config), display or Display())
    outcome.raise_failures()
    return finished


def _asks_otherwise(
    raw: RawSettings,
    name: str,
    join: Join | None,
    systems: Sequence[str] | None,
    source: ExpertSource,
) -> bool:
    """Return whether an expert that is there joined in another way than is asked."""
    compose = raw["compose"]
    has = {k for k, entry in compose.items() if name in (entry.get("experts") or experts_of(raw))}
    extended = {k for k, entry in compose.items() if name in entry.get("extend", [])}
    if systems is not None and set(routed_labels(raw, systems)) != has:
        return True
    if join is not None and extended != (has if join == "extend" else set()):
        return True
    return not made_of(raw, name, source)


def _warn_unscored(config: RunConfig, name: str, display: Display) -> None:
    """Say that nobody is scored on the domain of a new expert, if the settings leave it out."""
    named = config.evaluate.benchmarks
    if named is None or name not in (config.domains or []):
        return
    if not any(is_of(identity, name) for identity in named):
        display.warn(
            f"evaluate.benchmarks names none of '{name}', so no system is scored on it; add its "
            "ids there and run the settings again"
        )


def _removing(root: Path, name: str) -> str:
    return f"selfmoe remove-expert {shlex.quote(str(root))} {name}"


def _has(entry: Any, name: str) -> bool:
    return entry.experts is None or name in entry.experts
