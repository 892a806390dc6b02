"""The settings of an evaluation: those of a run that it reads, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.config.yaml_text import read_yaml_file
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import ConfigError, SelfmoeError, UnknownNameError, did_you_mean
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.paths import expand, expand_base, written
from selfmoe.contracts.records import Track
from selfmoe.evaluation.benchmarks import benchmarks_of, refuse_unknown
from selfmoe.store.directory import EvaluationDirectory

READ = (
    "base", "adapters", "domains", "define", "track", "data_dir", "out", "preset", "device",
    "dtype", "blocks", "plugin_dir", "prompts", "evaluate", "report",
)  # fmt: skip
"""Settings of a run that an evaluation reads."""

FOLDER = Path("evaluations")
"""Where evaluations lie that are not told where."""


def recorded(out: str | Path) -> dict[str, Any]:
    """Return the settings that an evaluation keeps, wherever it was moved to.

    Raises:
        ConfigError: If the folder holds none, or they cannot be read.
    """
    directory = EvaluationDirectory(expand(out))
    path = directory.root / directory.SETTINGS
    if not path.exists():
        raise ConfigError(
            f"no base is named, and {directory.root} holds no evaluation to go on with\n"
            "  Name a base: selfmoe evaluate BASE"
        )
    return read_yaml_file(path) | {"out": written(directory.root)}


def complete(raw: Mapping[str, Any], origin: str = "settings") -> RunConfig:
    """Return the complete settings of an evaluation; there is nothing to compose in them.

    Its domains are those of the benchmarks that are named, else as in a run. Solved examples are
    shown only if they are asked for.

    Args:
        raw: Nested plain data: what the user wants to decide.
        origin: What to call the settings in an error.

    Raises:
        ConfigError: If anything is wrong, or no part of an evaluation.
        UnknownNameError: If a benchmark is named that nobody provides.
    """
    _refuse_unread(raw, origin)
    asked = dict(raw)
    evaluate = asked.get("evaluate")
    if evaluate is None or isinstance(evaluate, Mapping):
        asked["evaluate"] = {"base_shots": 0} | dict(evaluate or {})
    if asked.get("out") is None and isinstance(asked.get("base"), str):
        asked["out"] = written(FOLDER / _folder_name(asked["base"]))
    config = resolve(asked, origin)
    domains = _domains(config)
    define = {name: entry for name, entry in config.define.items() if name in domains}
    return config.model_copy(update={"domains": domains, "define": define, "compose": {}})


def _refuse_unread(raw: Mapping[str, Any], origin: str) -> None:
    for key in raw:
        if key in RunConfig.model_fields and key not in READ:
            raise ConfigError(
                f"{origin}: '{key}' has no part in an evaluation\n  It reads: {', '.join(READ)}."
            )


def _folder_name(base: str) -> str:
    """Return what a base is called in one word: the last part of its path or id."""
    name = Path(expand_base(base)).absolute().name
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "base"


def _domains(config: RunConfig) -> list[str]:
    """Return the domains whose benchmarks are asked."""
    named = config.evaluate.benchmarks
    if named is None:
        return list(config.domains or [])
    _refuse_unknown(config, named)
    refuse_unknown(list(_offered(config, config.track)), config.source, named)
    return list(dict.fromkeys(BenchmarkName.parse(identity).domain for identity in named))


def _refuse_unknown(config: RunConfig, named: Sequence[str]) -> None:
    """Stop at a benchmark that no domain has on the track that is asked.

    Raises:
        UnknownNameError: Says on which other track it is, or what it may be meant for.
    """
    tracks = {track: _identities(config, track) for track in get_args(Track)}
    here = tracks.pop(config.track)
    elsewhere = {identity: track for track, known in tracks.items() for identity in known}
    for identity in named:
        if identity in here:
            continue
        if identity in elsewhere:
            raise UnknownNameError(
                f"evaluate.benchmarks: '{identity}' is on the track '{elsewhere[identity]}', asked "
                f"is the track '{config.track}'\n  Add --track {elsewhere[identity]}; all that is "
                "named must be on one track."
            )
        hint = _meant(identity, here) or _meant(identity, elsewhere) or "."
        raise UnknownNameError(
            f"evaluate.benchmarks: there is no benchmark '{identity}'{hint}\n  On the track "
            f"'{config.track}': {', '.join(here)}."
        )


def _meant(identity: str, known: Iterable[str]) -> str:
    """Return which benchmark may be meant: of that name in a domain, or of one much like it."""
    same = [other for other in known if BenchmarkName.parse(other).name == identity]
    return did_you_mean(same[0] if len(same) == 1 else identity, known)


def _identities(config: RunConfig, track: Track) -> list[str]:
    """Return the ids of all benchmarks on a track, those of the default domains first."""
    source = replace(config.source, track=track)
    return [
        str(BenchmarkName(domain.name, benchmark.name))
        for domain in _offered(config, track)
        for benchmark in benchmarks_of(domain, source)
    ]


def _offered(config: RunConfig, track: str) -> Iterator[Domain]:
    """Yield the domains that could be asked on a track; those that need options only if defined."""
    names = config.registry
    for name in dict.fromkeys([*(config.domains or []), *names.names("domain")]):
        if track in names.get("domain", name).tracks:
            try:
                yield names.configure("domain", name)
            except SelfmoeError:
                if name in (config.domains or []):
                    raise
