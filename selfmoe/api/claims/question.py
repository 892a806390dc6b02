"""What is asked: which claims, on which run, and what of it is to be made first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfmoe.api.claims.claim import Claim
from selfmoe.api.claims.paper import CLAIMS
from selfmoe.api.claims.plan import ClaimsPlan, plan_claims
from selfmoe.api.run import run_plans
from selfmoe.config.layers import merge
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import known_presets, resolve
from selfmoe.contracts.errors import ConfigError, unknown_name
from selfmoe.contracts.paths import expand, written
from selfmoe.models.base import find_base
from selfmoe.pipeline.make import make_plans
from selfmoe.registry.registry import registry
from selfmoe.reporting.terminal.progress import Display
from selfmoe.store.directory import RunDirectory

PRESET = "claims"
"""The preset that a run is made by whose base has one of this name."""


@dataclass(frozen=True)
class ClaimsQuestion:
    """What is asked.

    Attributes:
        run: The run's folder; ``None``: one is made of ``base``.
        base: The base of a run that is to be made.
        seeds: Root seeds; default: those of the run, or 0.
        only: Ids of claims, or tables and figures; default: all claims.
        settings: Settings that are to be other than in the run, nested.
    """

    run: Path | None = None
    base: str | None = None
    seeds: tuple[int, ...] | None = None
    only: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def plan_question(question: ClaimsQuestion, display: Display, *, dry: bool = False) -> ClaimsPlan:
    """Return what is to be done to answer a question, after making the run that it asks for.

    Args:
        question: What is asked.
        display: Where progress is shown.
        dry: Make no run; the plan then holds the cells of the run, too, as far as claims need them.

    Raises:
        SelfmoeError: If the run, the settings or a name is wrong, or the run cannot be made.
    """
    chosen = choose(question.only)
    if question.run is None:
        plans = make_plans(_new(question))
        if not dry:
            _, outcome = run_plans(plans, display)
            outcome.raise_failures()
        return _planned(plans.config, plans.directory.root, chosen)
    run = expand(question.run)
    return _planned(_settings(RunDirectory(run), question), run, chosen)


def choose(only: Iterable[str] | None) -> list[Claim]:
    """Return the claims that are named, in order; without names all.

    Raises:
        UnknownNameError: If there is no claim, table or figure of a name.
    """
    if only is None:
        return list(CLAIMS)
    wanted = set(only)
    known = {claim.id for claim in CLAIMS} | {claim.part for claim in CLAIMS}
    for name in sorted(wanted - known):
        raise unknown_name("claim, table or figure", name, known)
    if not wanted:
        raise ConfigError("--only names nothing; leave it out for all claims")
    return [claim for claim in CLAIMS if {claim.id, claim.part} & wanted]


def _planned(config: RunConfig, root: Path, chosen: list[Claim]) -> ClaimsPlan:
    base = find_base(config)
    return plan_claims(config.with_template(base.template.name), base, chosen, root)


def _new(question: ClaimsQuestion) -> RunConfig:
    """Return the settings of a run that is to be made."""
    if question.base is None:
        raise ConfigError("name the folder of a run, or a base to make one of: --base")
    asked: dict[str, Any] = {"base": question.base}
    names = registry()
    if question.base in names.names("base") and PRESET in known_presets(
        names.get("base", question.base)
    ):
        asked["preset"] = PRESET
    seeds = {} if question.seeds is None else {"seed": list(question.seeds)}
    return resolve(merge(asked, question.settings, seeds))


def _settings(run: RunDirectory, question: ClaimsQuestion) -> RunConfig:
    """Return the settings of a finished run, with what is to be other than in it."""
    if question.base is not None:
        raise ConfigError("give the folder of a run or --base, not both")
    kept = run.manifest().config | {"out": written(run.root)}
    seeds = {} if question.seeds is None else {"seed": list(question.seeds)}
    return resolve(merge(kept, question.settings, seeds), str(run.root / run.MANIFEST))
