"""Complete settings from what a user asked for.

What is left out is filled in: first the preset's budgets, then what the base recommends, then the
default domains, trainer and composers that the installed plugins offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from selfmoe.config.filling import Filler
from selfmoe.config.layers import merge, without, without_empty
from selfmoe.config.model import PRESETS, ComposeConfig, RunConfig
from selfmoe.contracts.base import Base
from selfmoe.contracts.errors import ConfigError, UnknownNameError, did_you_mean
from selfmoe.contracts.paths import expand_base, split_gguf, written, written_base
from selfmoe.registry.options import problems, validate
from selfmoe.registry.registry import LOCAL, NAME, Kind, Registry, registry

NAMING = "use up to 64 lower-case letters, digits, - and _"


def resolve(raw: Mapping[str, Any], origin: str = "settings") -> RunConfig:
    """Return the complete configuration that ``raw`` (a user's settings) asks for.

    Args:
        raw: Nested plain data, as from YAML; only what the user wants to decide.
        origin: What to call the settings in an error.

    Raises:
        ConfigError: If anything is wrong; lists all problems at once.
    """
    found: list[str] = []
    user, asked = _checked(raw, found)
    names = user.registry
    base = _base(user.base, found) or _single(names, "base")
    plugin = names.get("base", base) if base in names.names("base") else None
    preset = user.preset or (plugin.preset if plugin else "paper")
    found += _preset_problems(preset, plugin)
    advice = plugin.settings.get(preset, {}) if plugin else {}
    recommended = advice.get("run", {})
    full = merge(PRESETS.get(preset, {}), recommended, asked)
    full |= {"base": base if plugin else _absolute(base), "preset": preset}
    full |= {"out": written(user.out or Path("runs") / preset)}
    if user.data_dir is not None:
        full["data_dir"] = _places(user.data_dir)
    if user.respond.documents is not None:
        full = merge(full, {"respond": {"documents": _places(user.respond.documents)}})
    if user.adapters:
        full["adapters"] = _places(user.adapters)
    if full.get("domains") is None:
        full["domains"] = names.defaults("domain")
    full["define"] = _defined(full, user)
    if user.specialise.trainer is None:
        full = merge(full, {"specialise": {"trainer": _single(names, "trainer")}})
    offered = recommended.get("compose") or _default_compositions(names)
    full["compose"] = _compositions(asked.get("compose"), offered)
    filler = Filler(names, preset, advice.get("options", {}), found)
    for name, entry in full["define"].items():
        filler.fill("domain", entry.get("domain"), entry, f"define.{name}")
    filler.fill("trainer", full["specialise"]["trainer"], full["specialise"], "specialise")
    _fill_experts(filler, full["specialise"])
    filler.fill_backend(full)
    filler.fill_executor(full)
    for label, entry in full["compose"].items():
        kind: Kind = "router" if entry.get("router") else "merge"
        filler.fill(kind, entry.get(kind), entry, f"compose.{label}")
    config, _ = _checked(full, found)
    found += _cross_problems(config)
    if found:
        raise problems_error(origin, found)
    return config


def _checked(raw: Mapping[str, Any], found: list[str]) -> tuple[RunConfig, dict[str, Any]]:
    """Return what is right of the settings, checked and as given; add to ``found`` what is not."""
    raw = without_empty(raw, RunConfig)
    try:
        return validate(RunConfig, raw), dict(raw)
    except ValidationError as error:
        found += problems(error, RunConfig)
        right = without(raw, error)
        return validate(RunConfig, right), right


def problems_error(origin: str, lines: list[str]) -> ConfigError:
    """Return the error that says all that is wrong with some settings."""
    count = f"{len(lines)} problem" + ("s" if len(lines) > 1 else "")
    return ConfigError(f"{origin}: {count}\n  " + "\n  ".join(lines))


def _base(asked: str | None, found: list[str]) -> str | None:
    """Return the base that is asked for, in its path what stands for something else replaced."""
    try:
        return asked and expand_base(asked)
    except ConfigError as error:
        found.append(f"base: {error}.")
        return None


def _absolute(base: str) -> str:
    """Return a base as it can be found from any folder: paths that exist made absolute."""
    place, file = split_gguf(base)
    if Path(base).exists():
        return written_base(str(Path(base).absolute()))
    if file and Path(place).is_dir():
        return written_base(f"{Path(place).absolute()}:{file}")
    return written_base(base)


def _places(folders: Path | Mapping[str, Path]) -> Any:
    """Return a folder, or folders by name, as they can be found from any folder."""
    if isinstance(folders, Path):
        return written(folders.absolute())
    return {name: written(folder.absolute()) for name, folder in folders.items()}


def _defined(full: Mapping[str, Any], user: RunConfig) -> dict[str, Any]:
    """Return the domains that the settings define, those of a preset if they are among domains."""
    chosen = {*user.define, *full["domains"]}
    return {name: entry for name, entry in full.get("define", {}).items() if name in chosen}


def _fill_experts(filler: Filler, section: Mapping[str, Any]) -> None:
    """Check the options that experts have of their own, beside those that all have."""
    if section["trainer"] not in filler.names.names("trainer"):
        return
    for name, own in section.get("experts", {}).items():
        options = merge(section.get("options", {}), own)
        filler.whole("trainer", section["trainer"], options, f"specialise.experts.{name}")


def _single(names: Registry, kind: Kind) -> str:
    defaults = names.defaults(kind)
    if not defaults:
        message = f"no {kind} is the default one; name one, or see: selfmoe list-plugins"
        raise ConfigError("\n  ".join(filter(None, [message, names.broken])))
    return defaults[0]


def known_presets(base: type[Base] | None) -> list[str]:
    """Return the presets that can be asked for: those of every base, and the base's own."""
    return sorted({*PRESETS, *(base.settings if base else ())})


def _preset_problems(preset: str, base: type[Base] | None) -> list[str]:
    known = known_presets(base)
    if preset in known:
        return []
    hint = did_you_mean(preset, known) or "."
    return [f"preset: there is no '{preset}' for this base, only: {', '.join(known)}{hint}"]


def _default_compositions(names: Registry) -> dict[str, Any]:
    """Return label -> entry of the default composers."""
    kinds: tuple[Kind, ...] = ("router", "merge")
    return {
        names.get(kind, name).label or name: {kind: name}
        for kind in kinds
        for name in names.defaults(kind)
    }


def _compositions(asked: Mapping[str, Any] | None, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return label -> entry: the offered ones, changed by or replaced with what is asked.

    Entries that name a composer are a list of their own and replace what is offered; entries with
    options only (as ``--set compose.mixse.options.k=2`` makes) change one of them.
    """
    asked = asked or {}
    whole = any(
        isinstance(entry, Mapping) and {"router", "merge"} & set(entry) for entry in asked.values()
    )
    return merge({} if whole else offered, asked)


def _cross_problems(config: RunConfig) -> list[str]:
    """Return what is wrong with names and combinations that single values cannot show."""
    return [
        *_domain_problems(config),
        *_own_problems(config),
        *_value_problems(config),
        *_composition_problems(config),
    ]


def _domain_problems(config: RunConfig) -> Iterator[str]:
    names = config.registry
    for domain in config.domains or []:
        if domain not in names.names("domain"):
            try:
                names.entry("domain", domain)
            except UnknownNameError as error:
                yield "domains: " + " ".join(str(error).split())
        elif config.track not in names.get("domain", domain).tracks:
            tracks = ", ".join(names.get("domain", domain).tracks)
            yield f"track: domain '{domain}' has no track '{config.track}', only: {tracks}."
    if not config.domains:
        yield "domains: give at least one."
    for domain in sorted({name for name in config.domains or [] if _count(config, name) > 1}):
        yield f"domains: '{domain}' is named twice."


def _own_problems(config: RunConfig) -> Iterator[str]:
    """Yield what is wrong with the names of domains and experts of the run's own."""
    plugins = registry(config.plugin_dir)
    for what, names in (("define", config.define), ("adapters", config.adapters)):
        for name in names:
            if not _path_safe(name):
                yield f"{what}.{name[:80]}: not a possible name; {NAMING}."
    for name, entry in config.define.items():
        if entry.domain is None:
            yield f"define.{name}.domain: name the domain plugin that it is made of, such as files."
        if name in plugins.names("domain"):
            plugin = plugins.entry("domain", name).plugin
            yield f"define.{name}: {plugin} has a domain '{name}' already; choose another name."
        elif name not in (config.domains or []):
            yield f"define.{name}: not among domains; add it there, or leave it out."


def _value_problems(config: RunConfig) -> Iterator[str]:
    trained = [name for name in config.experts if name not in config.adapters]
    for name in config.specialise.experts:
        if name not in trained:
            hint = did_you_mean(name, trained) or "."
            yield f"specialise.experts: no expert '{name}' is trained{hint} Experts: " + (
                f"{', '.join(trained)}."
            )
    if len(set(config.root_seeds)) != len(config.root_seeds) or not config.root_seeds:
        yield "seed: give one or more different seeds."
    known = config.registry.names("domain")
    for name in config.curate.verify if isinstance(config.curate.verify, list) else ():
        if name not in known:
            hint = did_you_mean(name, known) or "."
            yield f"curate.verify: there is no domain '{name}'{hint}"
    documents = config.respond.documents
    for name in documents if isinstance(documents, dict) else ():
        if name not in known:
            hint = did_you_mean(name, known) or "."
            yield f"respond.documents: there is no domain '{name}'{hint}"
    if config.curate.agreement is not None and config.respond.samples == 0:
        yield "curate.agreement: needs several answers; set respond.samples, such as to 4."
    if config.out == Path():
        yield "out: must name a folder of its own, not the current one."
    if any(not 0 <= seed < 2**63 for seed in config.root_seeds):
        yield "seed: must lie between 0 and 2**63 - 1."
    if config.plugin_dir is not None and not (config.plugin_dir / LOCAL).is_file():
        yield f"plugin_dir: there is no {LOCAL} in {config.plugin_dir}."


def _composition_problems(config: RunConfig) -> Iterator[str]:
    for label, entry in (config.compose or {}).items():
        if (entry.router is None) == (entry.merge is None):
            yield f"compose.{label}: {_no_composer(label, entry, config)}"
        if label == "base" or label.startswith(("base-", "expert-")) or not _path_safe(label):
            yield (
                f"compose.{label[:80]}: not a possible label; {NAMING}, not 'base', 'base-…' or "
                "'expert-…'."
            )
        yield from (f"compose.{label}.{problem}" for problem in _expert_problems(entry, config))


def _expert_problems(entry: ComposeConfig, config: RunConfig) -> Iterator[str]:
    """Yield what is wrong with the experts that a composition names."""
    chosen = config.experts if entry.experts is None else entry.experts
    for key, names, known in (
        ("experts", entry.experts or [], config.experts),
        ("extend", entry.extend, chosen),
    ):
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                yield f"{key}: '{name}' is named twice."
            if name not in known:
                hint = did_you_mean(name, known) or "."
                yield f"{key}: there is no expert '{name}'{hint} Experts: {', '.join(known)}."
    if chosen and chosen[0] in entry.extend:
        yield f"extend: '{chosen[0]}' is the first expert; there is nothing yet that it could join."


def _no_composer(label: str, entry: ComposeConfig, config: RunConfig) -> str:
    """Return what is wrong with an entry that names no composer, or two."""
    if entry.router is not None:
        return "give either router or merge."
    others = [name for name, c in (config.compose or {}).items() if c.router or c.merge]
    hint = did_you_mean(label, others) or "."
    there = f" Its options alone change one of: {', '.join(others)}." if others else ""
    return f"give either router or merge{hint}{there}"


def _count(config: RunConfig, domain: str) -> int:
    return (config.domains or []).count(domain)


def _path_safe(label: str) -> bool:
    return NAME.fullmatch(label) is not None
