"""The Python interface; the command line calls nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config import RunConfig
from selfmoe.errors import ConfigError, RunError, SelfmoeError, unknown_name
from selfmoe.execute import Outcome, execute
from selfmoe.files import damage
from selfmoe.paths import expand, written
from selfmoe.plan import Plan, make_plans
from selfmoe.progress import Display
from selfmoe.registry import LOCAL
from selfmoe.reporting.report import write_report
from selfmoe.reporting.results import read_results
from selfmoe.resolve import resolve
from selfmoe.rundir import CONFIG, LOCK, RunDirectory, command_for
from selfmoe.systems import EXPERT, System, attach
from selfmoe.yaml_text import read_yaml_file

if TYPE_CHECKING:
    from torch.nn import Module

    from selfmoe.mixture.trainable import Trainable
    from selfmoe.records import LoadedBase


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
    results: Mapping[str, Any]
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


def run_plans(plans: list[Plan], display: Display) -> tuple[Run, Outcome]:
    """Execute plans and write the report on what could be done; see ``run``."""
    outcome = execute(plans, display)
    directory = plans[0].directory.root
    write_report(directory, again=bool(outcome.built))
    finished = Run(directory, plans[0].config, read_results(directory), len(outcome.built))
    return finished, outcome


def complete(config: Settings) -> RunConfig:
    """Return settings with everything filled in; see ``selfmoe.resolve.resolve``.

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

    The file that a run keeps of its settings is about that run, wherever it was moved to.
    """
    raw = read_yaml_file(path)
    if path.name == CONFIG and (path.parent / LOCK).is_file():
        raw["out"] = written(path.parent.absolute())
    if (path.parent / LOCAL).is_file():
        raw.setdefault("plugin_dir", written(path.parent.resolve()))
    return raw


def load(
    run: str | Path,
    system: str = "mixse",
    *,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
    trainable: Trainable = None,
) -> tuple[Module, Any]:
    """Return a system of a run, ready to generate, and its tokenizer.

    Args:
        run: The run's folder.
        system: ``base``, ``expert-<name>`` or a composition's label.
        seed: Root seed of the pipeline it is taken from; default: the run's first.
        device: Where to put it; default: as the run's settings say.
        dtype: Number format of the base; default: as the run's settings say.
        check: Read two tokens with a cache and without, and refuse a mixture where they differ.
        trainable: What is left open to training, as in ``selfmoe.compose``.

    Returns:
        The model, frozen but for that and in eval mode; ``model.mixture`` is the handle to record
        routing with and to detach, where something is attached. The tokenizer pads on the left.

    Raises:
        RunError: If the folder holds no finished run, or the system could not be made.
        UnknownNameError: If the run has no such system, or there is no such part to train.
        CompositionError: If the system does not fit the base, or the check finds that this model's
            cache is not followed.
        NotSupportedError: If the system has no such part.
    """
    base = load_system(expand(run), system, seed, device=device, dtype=dtype, check=check)
    if trainable:
        from selfmoe.mixture.portable import mixture_of, put_to_use

        put_to_use(mixture_of(base.model), trainable)
    return base.model, base.tokenizer


def load_system(
    root: Path,
    system: str,
    seed: int | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
) -> LoadedBase:
    """Return the base of a run with a system attached; see ``load``."""
    from selfmoe.base import find_base, load_base

    manifest = RunDirectory(root).manifest()
    instead = {"device": device, "dtype": dtype}
    settings = manifest["config"] | {k: v for k, v in instead.items() if v is not None}
    config = resolve(settings, str(root / "manifest.json"))
    chosen = str(config.root_seeds[0] if seed is None else seed)
    if chosen not in manifest["cells"]:
        raise unknown_name("root seed", chosen, manifest["cells"])
    made = _made(root, manifest, chosen)
    if system not in made:
        raise _not_made(system, manifest, chosen, made)
    files = find_base(config)
    again = command_for(root / "config.yaml")
    if files.hash != manifest["base"]["hash"]:
        raise RunError(
            f"the base '{files.name}' is not the one this run was made with (hash {files.hash}, "
            f"not {manifest['base']['hash']})\n  This makes the run again with it: {again}"
        )
    cell = made[system]
    problem = damage(cell) if cell else None
    if problem:
        raise RunError(f"cell damaged: {problem}\n  This makes it again: {again}")
    base = load_base(files, config)
    named = System(system, manifest["systems"][system])
    attach(base, named, cell, config.registry, check=check)
    return base


def _made(root: Path, manifest: Mapping[str, Any], seed: str) -> dict[str, Path | None]:
    """Return the folder of what makes each system that there is; ``None`` for the base itself."""
    cells = manifest["cells"][seed]
    found: dict[str, Path | None] = {}
    for name, kind in manifest["systems"].items():
        if kind == "base":
            found[name] = None
        elif (cell := cells.get(_maker(name, kind))) is not None:
            found[name] = root / str(cell["path"])
    return found


def _maker(system: str, kind: str) -> str:
    """Return the name of the cell that makes a system."""
    return f"specialise/{system.removeprefix(EXPERT)}" if kind == "expert" else f"compose/{system}"


def _not_made(
    system: str, manifest: Mapping[str, Any], seed: str, made: Mapping[str, Any]
) -> SelfmoeError:
    kind = manifest["systems"].get(system)
    if kind is None:
        return unknown_name("system", system, made)
    why = manifest.get("missing", {}).get(seed, {}).get(_maker(system, kind), "the run lacks it")
    return RunError(f"'{system}' was not made: {why}\n  Available: {', '.join(sorted(made))}.")
