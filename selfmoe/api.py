"""The Python interface; the command line calls nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config import RunConfig
from selfmoe.errors import RunError, unknown_name
from selfmoe.execute import Outcome, execute
from selfmoe.files import damage
from selfmoe.plan import Plan, make_plans
from selfmoe.progress import Display
from selfmoe.registry import LOCAL
from selfmoe.reporting.report import write_report
from selfmoe.reporting.results import read_results
from selfmoe.resolve import resolve
from selfmoe.rundir import RunDirectory
from selfmoe.systems import EXPERT, System, attach
from selfmoe.yaml_text import read_yaml_file

if TYPE_CHECKING:
    from torch.nn import Module

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


def run(config: RunConfig | str | Path, *, display: Display | None = None) -> Run:
    """Do what the settings ask for, as far as it is not done yet, and return the run.

    Args:
        config: The settings, or a path to them in YAML; what they leave out is filled in.
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


def complete(config: RunConfig | str | Path) -> RunConfig:
    """Return settings with everything filled in; see ``selfmoe.resolve.resolve``."""
    if isinstance(config, RunConfig):
        return resolve(config.model_dump(mode="json", exclude_unset=True), "RunConfig")
    path = Path(config)
    return resolve(from_yaml(path), str(path))


def from_yaml(path: Path) -> dict[str, Any]:
    """Return the raw settings in a YAML file; a ``selfmoe_plugin.py`` beside it is a plugin too."""
    raw = read_yaml_file(path)
    if (path.parent / LOCAL).is_file():
        raw.setdefault("plugin_dir", str(path.parent.resolve()))
    return raw


def load(
    run: str | Path,
    system: str = "mixse",
    *,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> tuple[Module, Any]:
    """Return a system of a run, ready to generate, and its tokenizer.

    Args:
        run: The run's folder.
        system: ``base``, ``expert-<name>`` or a composition's label.
        seed: Root seed of the pipeline it is taken from; default: the run's first.
        device: Where to put it; default: as the run's settings say.
        dtype: Number format of the base; default: as the run's settings say.

    Returns:
        The model, frozen and in eval mode; ``model.mixture`` is the handle to record routing with
        and to detach, where something is attached. The tokenizer pads on the left.

    Raises:
        RunError: If the folder holds no finished run.
        UnknownNameError: If the run has no such system.
    """
    base = load_system(run, system, seed, device=device, dtype=dtype)
    return base.model, base.tokenizer


def load_system(
    run: str | Path,
    system: str,
    seed: int | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
) -> LoadedBase:
    """Return the base of a run with a system attached; see ``load``."""
    from selfmoe.base import find_base, load_base

    root = Path(run)
    manifest = RunDirectory(root).manifest()
    instead = {"device": device, "dtype": dtype}
    settings = manifest["config"] | {k: v for k, v in instead.items() if v is not None}
    config = resolve(settings, str(root / "manifest.json"))
    chosen = str(config.root_seeds[0] if seed is None else seed)
    if chosen not in manifest["cells"]:
        raise unknown_name("root seed", chosen, manifest["cells"])
    systems = {name: System(name, kind) for name, kind in manifest["systems"].items()}
    if system not in systems:
        raise unknown_name("system", system, systems)
    files = find_base(config)
    if files.hash != manifest["base"]["hash"]:
        raise RunError(
            f"the base '{files.name}' is not the one this run was made with (hash {files.hash}, "
            f"not {manifest['base']['hash']}); run the same command again"
        )
    cell = _cell_of(systems[system], root, manifest, chosen)
    problem = damage(cell) if cell else None
    if problem:
        raise RunError(f"{problem}; run the same command again")
    base = load_base(files, config)
    attach(base, systems[system], cell, config.registry)
    return base


def _cell_of(system: System, root: Path, manifest: Mapping[str, Any], seed: str) -> Path | None:
    """Return the folder of what makes a system; ``None`` for the base itself."""
    if system.kind == "base":
        return None
    expert = system.kind == "expert"
    made_by = (
        f"specialise/{system.name.removeprefix(EXPERT)}" if expert else f"compose/{system.name}"
    )
    return root / str(manifest["cells"][seed][made_by]["path"])
