"""The settings of a run: one model a stage, in the order of the pipeline.

The defaults are the paper's recipe (arXiv 2406.12034, section 3). What a user leaves out is
filled in by ``resolve``: first the preset's budgets, then what the base recommends, then the
default domains, trainer and composers that the installed plugins offer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfmoe.errors import ConfigError, UnknownNameError, did_you_mean
from selfmoe.records import Source, Track
from selfmoe.registry import NAME, Kind, Registry, registry
from selfmoe.settings import merge, problems, validate, without, without_empty

Preset = Literal["demo", "paper"]

DEMO: Mapping[str, Any] = {
    "brainstorm": {"n": 280, "batch_size": 96, "max_new_tokens": 96},
    "respond": {"batch_size": 64, "max_new_tokens": 96},
    "evaluate": {"limit": 120, "batch_size": 60},
}
"""Budgets of the preset ``demo``: the whole pipeline in minutes on two cores."""


class Section(BaseModel):
    """A part of the settings: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SeedsConfig(Section):
    """Stage 1, seeds: the few human-written examples a domain starts from."""

    n: int = Field(100, ge=1, le=1_000_000, description="Seeds a domain.")


class BrainstormConfig(Section):
    """Stage 2, brainstorm: the base model continues lists of tasks."""

    n: int = Field(5000, ge=1, description="Distinct instructions to collect a domain.")
    shots: int = Field(3, ge=1, description="Seeds in context.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    top_p: float = Field(0.98, gt=0, le=1, description="Nucleus sampling mass.")
    batch_size: int = Field(32, ge=1, description="Prompts a batch; the unit of commit.")
    max_new_tokens: int = Field(256, ge=1, description="Longest task, in tokens.")
    max_tries: int = Field(8, ge=1, description="Stop after this many times n texts.")


class RespondConfig(Section):
    """Stage 3, respond: the base model answers its own tasks after solved seeds."""

    shots: int = Field(5, ge=1, description="Solved seeds in context.")
    batch_size: int = Field(32, ge=1, description="Prompts a batch; the unit of commit.")
    max_new_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    samples: int = Field(
        0, ge=0, description="Answers drawn besides the greedy one, for curate.agreement."
    )
    temperature: float = Field(0.7, gt=0, description="Temperature of those that are drawn.")


class CurateConfig(Section):
    """Stage 4, curate: drop duplicates, benchmark overlap and what the domain refuses."""

    near_duplicate: float | None = Field(
        None, gt=0, le=1, description="ROUGE-L F1 above which two are one; default: the domain's."
    )
    contamination: bool = Field(True, description="Drop what overlaps a benchmark item.")
    agreement: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of a task's answers that must agree; needs respond.samples.",
    )
    verify: bool = Field(
        False, description="Let the domain check answers, such as by running a task's own test."
    )
    min_examples: int = Field(1, ge=1, description="Fewer examples than this stop the run.")


class SpecialiseConfig(Section):
    """Stage 5, specialise: one adapter a domain, trained on its own data."""

    trainer: str | None = Field(None, description="Trainer; default: the installed default one.")
    options: dict[str, Any] = Field(default_factory=dict, description="The trainer's options.")


class ComposeConfig(Section):
    """One system of stage 6, compose: a router or a merge with its options."""

    router: str | None = Field(None, description="Router plugin.")
    merge: str | None = Field(None, description="Merge plugin.")
    options: dict[str, Any] = Field(default_factory=dict, description="The composer's options.")

    @property
    def component(self) -> tuple[Kind, str]:
        """Return kind and name of the composer."""
        return ("router", self.router) if self.router else ("merge", str(self.merge))


class EvaluateConfig(Section):
    """Stage 7, evaluate: every system on every benchmark."""

    benchmarks: list[str] | None = Field(
        None,
        min_length=1,
        description="Ids such as math/gsm8k; default: targets, and others whose files are there.",
    )
    limit: int | None = Field(None, ge=1, description="Items a benchmark; default: all.")
    split: Literal["dev", "test"] = Field("test", description="dev for tuning, test to publish.")
    batch_size: int = Field(16, ge=1, description="Items a forward pass.")
    template: Literal["alpaca", "plain"] | None = Field(
        None, description="How items are asked; default: as each benchmark declares."
    )
    overflow: Literal["fewer-shots", "error"] = Field(
        "fewer-shots", description="What to do when a prompt does not fit the context."
    )
    base_shots: int = Field(
        5,
        ge=0,
        description="Examples in the row 'base, N examples' beside zero-shot ones; 0: no row.",
    )
    fewshot_seed: int | None = Field(
        None, ge=0, description="Draws the solved examples; default: a benchmark's first ones."
    )
    unsafe_code: bool = Field(False, description="Run generated code even without a sandbox.")


class ReportConfig(Section):
    """Stage 8, report: tables and results.json."""

    confidence: float = Field(0.95, gt=0, lt=1, description="Level of the intervals.")


class RunConfig(Section):
    """Everything that decides what a run does."""

    base: str | None = Field(
        None, description="Base plugin, folder or hub id; default: the shipped."
    )
    domains: list[str] | None = Field(None, description="Domains; default: all default ones.")
    track: Track = Field("mini", description="mini (shipped, procedural) or benchmark (real).")
    data_dir: Path | None = Field(
        None, strict=False, description="Upstream benchmark files; default: the hub."
    )
    out: Path | None = Field(
        None, strict=False, description="Run directory; default: runs/<preset>."
    )
    seed: int | list[int] = Field(0, description="Root seed, or several for the whole pipeline.")
    preset: Preset | None = Field(None, description="Budgets; default: what the base recommends.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the base; auto: float32 on CPU, bfloat16 elsewhere."
    )
    blocks: str | None = Field(
        None, description="The base's list of decoder blocks; default: found by structure."
    )
    plugin_dir: Path | None = Field(
        None,
        strict=False,
        description="Folder whose selfmoe_plugin.py is a plugin too; set by the YAML's place.",
    )
    seeds: SeedsConfig = Field(default_factory=SeedsConfig)
    brainstorm: BrainstormConfig = Field(default_factory=BrainstormConfig)
    respond: RespondConfig = Field(default_factory=RespondConfig)
    curate: CurateConfig = Field(default_factory=CurateConfig)
    specialise: SpecialiseConfig = Field(default_factory=SpecialiseConfig)
    compose: dict[str, ComposeConfig] | None = Field(
        None, description="System label -> composer; default: all default ones."
    )
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    @property
    def root_seeds(self) -> list[int]:
        """Return the root seeds; each is a whole pipeline."""
        return [self.seed] if isinstance(self.seed, int) else list(self.seed)

    @property
    def source(self) -> Source:
        """Return where seeds and benchmark items come from."""
        return Source(self.track, self.data_dir, self.evaluate.split)

    @property
    def registry(self) -> Registry:
        """Return the registry this run's names are looked up in."""
        return registry(self.plugin_dir)


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
    base = user.base or _single(names, "base")
    plugin = names.get("base", base) if base in names.names("base") else None
    preset = user.preset or (plugin.preset if plugin else "paper")
    advice = plugin.settings.get(preset, {}) if plugin else {}
    full = merge(DEMO if preset == "demo" else {}, advice.get("run", {}), asked)
    full |= {"base": base if plugin else _absolute(base), "preset": preset}
    full |= {"out": str(user.out or Path("runs") / preset)}
    if user.data_dir is not None:
        full["data_dir"] = str(user.data_dir.absolute())
    if user.domains is None:
        full["domains"] = names.defaults("domain")
    if user.specialise.trainer is None:
        full = merge(full, {"specialise": {"trainer": _single(names, "trainer")}})
    full["compose"] = _compositions(asked.get("compose"), names)
    filler = _Filler(names, preset, advice.get("options", {}), found)
    filler.fill("trainer", full["specialise"]["trainer"], full["specialise"], "specialise")
    for label, entry in full["compose"].items():
        kind: Kind = "router" if entry.get("router") else "merge"
        filler.fill(kind, entry.get(kind), entry, f"compose.{label}")
    config, _ = _checked(full, found)
    found += _cross_problems(config)
    if found:
        raise _error(origin, found)
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


def _error(origin: str, lines: list[str]) -> ConfigError:
    count = f"{len(lines)} problem" + ("s" if len(lines) > 1 else "")
    return ConfigError(f"{origin}: {count}\n  " + "\n  ".join(lines))


def _absolute(base: str) -> str:
    """Return a base as it can be found from any folder: paths that exist made absolute."""
    path = Path(base).expanduser()
    return str(path.absolute()) if path.exists() else base


def _single(names: Registry, kind: Kind) -> str:
    defaults = names.defaults(kind)
    if not defaults:
        message = f"no {kind} is the default one; name one, or see: selfmoe list-plugins"
        raise ConfigError("\n  ".join(filter(None, [message, names.broken])))
    return defaults[0]


def _compositions(asked: Mapping[str, Any] | None, names: Registry) -> dict[str, Any]:
    """Return label -> entry: the default composers, changed by or replaced with what is asked.

    Entries that name a composer are a list of their own and replace the defaults; entries with
    options only (as ``--set compose.mixse.options.k=2`` makes) change a default one.
    """
    kinds: tuple[Kind, ...] = ("router", "merge")
    defaults: dict[str, Any] = {
        names.get(kind, name).label or name: {kind: name}
        for kind in kinds
        for name in names.defaults(kind)
    }
    asked = asked or {}
    whole = any(isinstance(entry, Mapping) and set(entry) & set(kinds) for entry in asked.values())
    return merge({} if whole else defaults, asked)


class _Filler:
    """Replaces a component's options by all of them: preset, then advice, then the user's."""

    def __init__(
        self, names: Registry, preset: str, advice: Mapping[str, Any], found: list[str]
    ) -> None:
        self.names, self.preset, self.advice, self.found = names, preset, advice, found

    def fill(self, kind: Kind, name: Any, section: Any, where: str) -> None:
        if not isinstance(section, dict) or not isinstance(name, str):
            return
        if name not in self.names.names(kind):
            try:
                self.names.entry(kind, name)
            except UnknownNameError as error:
                self.found.append(f"{where}.{kind}: " + " ".join(str(error).split()))
            return
        cls = self.names.get(kind, name)
        given = section.get("options") or {}
        layers = (cls.presets.get(self.preset, {}), self.advice.get(name, {}), given)
        try:
            options = validate(cls.Config, merge(*layers))
        except ValidationError as error:
            self.found.extend(problems(error, cls.Config, f"{where}.options"))
            return
        section["options"] = options.model_dump(mode="json")


def _cross_problems(config: RunConfig) -> list[str]:
    """Return what is wrong with names and combinations that single values cannot show."""
    found = []
    names = config.registry
    for domain in config.domains or []:
        if domain not in names.names("domain"):
            try:
                names.entry("domain", domain)
            except UnknownNameError as error:
                found.append("domains: " + " ".join(str(error).split()))
        elif config.track not in names.get("domain", domain).tracks:
            tracks = ", ".join(names.get("domain", domain).tracks)
            found.append(f"track: domain '{domain}' has no track '{config.track}', only: {tracks}.")
    if not config.domains:
        found.append("domains: give at least one.")
    for domain in sorted({name for name in config.domains or [] if _count(config, name) > 1}):
        found.append(f"domains: '{domain}' is named twice.")
    if len(set(config.root_seeds)) != len(config.root_seeds) or not config.root_seeds:
        found.append("seed: give one or more different seeds.")
    if config.curate.agreement is not None and config.respond.samples == 0:
        found.append("curate.agreement: needs several answers; set respond.samples, such as to 4.")
    if config.out == Path():
        found.append("out: must name a folder of its own, not the current one.")
    if any(not 0 <= seed < 2**63 for seed in config.root_seeds):
        found.append("seed: must lie between 0 and 2**63 - 1.")
    for label, entry in (config.compose or {}).items():
        if (entry.router is None) == (entry.merge is None):
            others = [name for name, other in (config.compose or {}).items() if other != entry]
            hint = did_you_mean(label, others) or "."
            found.append(f"compose.{label}: give either router or merge{hint}")
        if label == "base" or label.startswith(("base-", "expert-")) or not _path_safe(label):
            found.append(
                f"compose.{label}: not a possible label; use lower-case letters, digits, - and _, "
                "not 'base' and not 'expert-…'."
            )
    return found


def _count(config: RunConfig, domain: str) -> int:
    return (config.domains or []).count(domain)


def _path_safe(label: str) -> bool:
    return NAME.fullmatch(label) is not None
