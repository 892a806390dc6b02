"""Where a new expert comes from: a domain's plugin, files of tasks, or an adapter."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfmoe.api.expert_settings import RawSettings
from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import ConfigError, UnknownNameError, did_you_mean
from selfmoe.contracts.paths import expand, written
from selfmoe.evaluation.benchmarks import check_items
from selfmoe.evaluation.leaks import refuse_leaks
from selfmoe.registry.discovery import wanted
from selfmoe.registry.registry import Registry


@dataclass(frozen=True)
class ExpertSource:
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

    def __post_init__(self) -> None:
        """Expand the paths."""
        for name in ("seeds", "benchmark", "adapter"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, expand(path).absolute())


def with_source(raw: RawSettings, name: str, source: ExpertSource) -> RawSettings:
    """Return settings with one expert more, which no composition has yet.

    Raises:
        ConfigError: If what the source says does not go together, or no plugin reads its files.
        UnknownNameError: If no plugin provides the domain and the source names no files.
    """
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
        options = _options(source)
        entry = {"domain": _reader(names), "options": options}
        new["define"] = {**(new.get("define") or {}), name: entry}
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
        folder = written(source.adapter)
        new["adapters"] = {**(new.get("adapters") or {}), name: folder}
    return new


def _reader(names: Registry) -> str:
    """Return the domain that fields without a plugin are made of, by files of tasks."""
    found = [name for name in names.names("domain") if names.get("domain", name).from_files]
    if found:
        return found[0]
    limited = ""
    if wanted() is not None:
        limited = "SELFMOE_PLUGINS limits the plugins: unset it, or name that one, too."
    see = "What is installed and what is broken: selfmoe list-plugins"
    raise ConfigError(
        "--seeds needs a plugin whose domain reads tasks from files, and none is loaded\n  "
        + "\n  ".join(filter(None, [limited, names.broken, see]))
    )


def made_of(raw: RawSettings, name: str, source: ExpertSource) -> bool:
    """Return whether an expert that a run has comes from where a source says, if it says it."""
    adapter = (raw.get("adapters") or {}).get(name)
    if source.adapter is not None and adapter != written(source.adapter):
        return False
    asked = _options(source)
    there = ((raw.get("define") or {}).get(name) or {}).get("options") or {}
    return all(there.get(key) == value for key, value in asked.items())


def check_source(config: RunConfig, name: str, source: ExpertSource) -> None:
    """Read what a source names, so that what is wrong with it is said before a run changes.

    Raises:
        DataError: If a file is missing or malformed, or a seed is one of the held-out tasks.
        CompositionError: If the adapter is damaged, or no plain LoRA.
    """
    if source.adapter is not None:
        from selfmoe.mixture.adapters import read_factors

        read_factors(source.adapter)
    if source.seeds is None:
        return
    domain = config.registry.configure("domain", name)
    seeds = domain.seeds(config.source, config.seeds.n, random.Random(0))
    for benchmark in domain.benchmarks(config.source):
        check_items(name, benchmark)
        refuse_leaks(name, seeds, [benchmark])


def _options(source: ExpertSource) -> Mapping[str, str]:
    """Return what a source says of files, as options of the domain that reads them."""
    said: dict[str, str] = {}
    if source.seeds is not None:
        said["seeds"] = written(source.seeds)
    if source.seeds is not None or source.description:
        said["description"] = source.description
    if source.benchmark is not None:
        said["benchmark"] = written(source.benchmark)
    return said
