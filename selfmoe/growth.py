"""Adding an expert to a finished run, and taking one away again.

Both change a few settings and run: what does not depend on them is there already, because cells
are named by what they are made from. Former experts are never touched, and taking an expert away
finds the former system as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfmoe.api import Run, from_yaml, run_plans
from selfmoe.config import RunConfig
from selfmoe.errors import ConfigError, UnknownNameError, did_you_mean, unknown_name
from selfmoe.execute import by_root, execute, manifest_of
from selfmoe.plan import make_plans
from selfmoe.progress import Display
from selfmoe.reporting.cells import Cells
from selfmoe.reporting.paired import changes
from selfmoe.resolve import resolve
from selfmoe.rundir import CONFIG, RunDirectory

Settings = dict[str, Any]
Join = Literal["refit", "extend"]


@dataclass(frozen=True)
class Source:
    """Where a new expert comes from, besides a domain plugin of its name.

    Attributes:
        seeds: File of seeds, for a field without a plugin.
        description: That field in a few words.
        benchmark: File of held-out tasks of that field.
        adapter: PEFT LoRA folder to take as it is.
    """

    seeds: Path | None = None
    description: str = ""
    benchmark: Path | None = None
    adapter: Path | None = None


@dataclass(frozen=True)
class Growth:
    """What adding an expert came to.

    Attributes:
        run: The run as it is now.
        expert: The new expert.
        join: How it joined: ``refit`` or ``extend``.
        systems: ``system -> benchmark -> measure -> before, after, difference…``; see
            ``selfmoe.reporting.paired.changes``.
        left: The compositions that stay as they are, made of the former experts.
    """

    run: Run
    expert: str
    join: Join
    systems: Mapping[str, Any]
    left: Sequence[str]


def add_expert(
    run: str | Path,
    name: str,
    *,
    join: Join = "refit",
    systems: Sequence[str] | None = None,
    source: Source | None = None,
    display: Display | None = None,
) -> Growth:
    """Return a run with one more expert; only what depends on it is made.

    Args:
        run: Folder of a finished run. An addition that was interrupted goes on.
        name: The expert: a domain that a plugin provides, or any name with a ``source``.
        join: ``refit`` makes the compositions anew of all experts; ``extend`` lets the new one join
            them and leaves what the others have learnt bit for bit.
        systems: Labels of the compositions it joins; default: all that route.
        source: Where it comes from, unless a plugin provides the domain.
        display: Where progress is shown; default: standard error.

    Raises:
        SelfmoeError: If the run or the request is wrong, or something could not be made.
    """
    display = display or Display()
    root = Path(run)
    RunDirectory(root).manifest()  # refuses what is no finished run
    raw = from_yaml(root / CONFIG)
    after = raw
    if name not in _experts(raw):
        labels = _joined(raw, systems)
        after = grown(_with_source(raw, name, source or Source()), name, labels, join)
    elif source is not None and source != Source():
        raise ConfigError(f"the run has an expert '{name}' already; choose another name")
    config = resolve(after, f"adding expert '{name}'")
    changed = [label for label, entry in (config.compose or {}).items() if _has(entry, name)]
    finished, outcome = run_plans(make_plans(config), display)
    outcome.raise_failures()
    before = make_plans(resolve(without(after, name, changed), "the system before"))
    old = manifest_of(by_root(before), execute(before, display, recorded=False))
    level = config.report.confidence
    told = {label: changes(Cells(root, old), Cells(root), label, level) for label in changed}
    left = [label for label in config.compose or {} if label not in changed]
    extended = [label for label in changed if name in (config.compose or {})[label].extend]
    return Growth(finished, name, "extend" if extended else "refit", told, left)


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
    root = Path(run)
    RunDirectory(root).manifest()
    raw = from_yaml(root / CONFIG)
    experts = _experts(raw)
    if name not in experts:
        raise unknown_name("expert", name, experts)
    config = resolve(shrunk(raw, name), f"removing expert '{name}'")
    finished, outcome = run_plans(make_plans(config), display or Display())
    outcome.raise_failures()
    return finished


def grown(raw: Settings, name: str, labels: Sequence[str], join: Join) -> Settings:
    """Return complete settings in which an expert has joined the compositions in ``labels``."""
    new = copy.deepcopy(raw)
    former = [expert for expert in _experts(raw) if expert != name]
    for label, entry in new["compose"].items():
        entry["experts"] = entry.get("experts") or former
        if label in labels:
            entry["experts"] = [*entry["experts"], name]
            entry["extend"] = [*entry.get("extend", []), *([name] if join == "extend" else [])]
    return _tidied(new)


def shrunk(raw: Settings, name: str) -> Settings:
    """Return complete settings without an expert: the inverse of ``grown``."""
    new = copy.deepcopy(raw)
    new["domains"] = [domain for domain in new["domains"] if domain != name]
    for key in ("define", "adapters"):
        new[key] = {k: value for k, value in (new.get(key) or {}).items() if k != name}
    return _leave(new, name, list(new["compose"]))


def without(raw: Settings, name: str, labels: Sequence[str]) -> Settings:
    """Return settings with an expert that no composition has, and these compositions only."""
    new = copy.deepcopy(raw)
    new["compose"] = {label: new["compose"][label] for label in labels}
    return _leave(new, name, labels)


def _leave(new: Settings, name: str, labels: Sequence[str]) -> Settings:
    everyone = [*_experts(new), name]
    for label in labels:
        entry = new["compose"][label]
        chosen = entry.get("experts") or everyone
        entry["experts"] = [expert for expert in chosen if expert != name]
        entry["extend"] = [expert for expert in entry.get("extend", []) if expert != name]
        if not entry["experts"]:
            raise ConfigError(
                f"'{name}' is the only expert of '{label}'\n  Take that system out of the run's "
                f"settings first, or give it another expert."
            )
    return _tidied(new)


def _tidied(new: Settings) -> Settings:
    """Return settings in which compositions of all experts say so by naming none."""
    everyone = _experts(new)
    for entry in new["compose"].values():
        if entry.get("experts") == everyone:
            entry["experts"] = None
    return new


def _experts(raw: Settings) -> list[str]:
    return list(dict.fromkeys([*raw["domains"], *(raw.get("adapters") or {})]))


def _has(entry: Any, name: str) -> bool:
    return entry.experts is None or name in entry.experts


def _joined(raw: Settings, systems: Sequence[str] | None) -> list[str]:
    """Return the labels of the compositions that an expert joins."""
    compose = raw["compose"]
    for label in systems or ():
        if label not in compose:
            raise unknown_name("composition", label, compose)
    labels = list(systems or (k for k, entry in compose.items() if entry.get("router")))
    if not labels:
        raise ConfigError(
            "the run has no routed system that an expert could join\n  Name compositions to make "
            f"anew with --systems: {', '.join(compose) or 'there are none'}."
        )
    return labels


def _with_source(raw: Settings, name: str, source: Source) -> Settings:
    """Return settings with one expert more, which no composition has yet."""
    new = copy.deepcopy(raw)
    names = RunConfig.model_validate({"plugin_dir": raw.get("plugin_dir")}).registry
    provided = name in names.names("domain")
    if source.seeds is not None:
        if provided:
            plugin = names.entry("domain", name).plugin
            raise ConfigError(
                f"{plugin} has a domain '{name}', with seeds of its own\n  Leave --seeds out, or "
                "choose another name."
            )
        options = {"seeds": str(source.seeds.absolute()), "description": source.description}
        if source.benchmark is not None:
            options["benchmark"] = str(source.benchmark.absolute())
        parent = next(d for d in names.names("domain") if names.get("domain", d).from_files)
        new["define"] = {**(new.get("define") or {}), name: {"domain": parent, "options": options}}
    elif source.benchmark is not None or source.description:
        raise ConfigError("--description and --benchmark go with --seeds, which is missing")
    elif not provided and source.adapter is None:
        known = names.names("domain")
        raise UnknownNameError(
            f"no domain named '{name}'{did_you_mean(name, known) or '.'}\n"
            f"  Installed: {', '.join(known)}. For a field without a plugin give --seeds FILE."
        )
    if provided or source.seeds is not None:
        new["domains"] = [*new["domains"], name]
    if source.adapter is not None:
        folder = str(source.adapter.absolute())
        new["adapters"] = {**(new.get("adapters") or {}), name: folder}
    return new
