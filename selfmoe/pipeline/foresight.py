"""What experts will be trained on: said, and refused if need be, before anything is generated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import CompositionError, StageError

if TYPE_CHECKING:
    from selfmoe.contracts.records import LoadedBase
    from selfmoe.mixture.sites.coverage import Coverage
    from selfmoe.pipeline.session import Session


def foresee_training(session: Session) -> None:
    """Say what training will adapt, and which share of the base that is.

    Raises:
        StageError: If it can adapt nothing, or what a router of the run could not weigh.
    """
    from selfmoe.mixture.sites.coverage import described

    trained = [name for name in session.config.experts if name not in session.config.adapters]
    chosen = [session.trainer(name).linears(session.base) for name in trained]
    coverage = _coverage(session.base)
    if None in chosen or coverage is None:
        return
    names = {name for linears in chosen for name in linears or ()}
    _refuse_unweighable(coverage, names, session.config)
    for line in described(coverage, names):
        session.display.say(line)


def adapted(base: LoadedBase, names: Collection[str]) -> dict[str, Any]:
    """Return what is recorded of the linears an expert changes: which, and their share."""
    coverage = _coverage(base)
    if coverage is None:
        return {}
    return {
        "linears": coverage.kinds(names),
        "share_of_blocks": round(coverage.share(names), 4),
    }


def _coverage(base: LoadedBase) -> Coverage | None:
    """Return what can be adapted, or ``None`` where only merges are asked for, of any base."""
    from selfmoe.mixture.sites.coverage import coverage_of

    try:
        return coverage_of(base)
    except CompositionError:
        return None


def _refuse_unweighable(coverage: Coverage, names: Collection[str], config: RunConfig) -> None:
    from selfmoe.mixture.sites.tokenwise import HARMLESS

    routers = [label for label, entry in (config.compose or {}).items() if entry.router]
    wrong = {n: why for n in names if (why := coverage.reasons.get(n)) and why not in HARMLESS}
    if routers and wrong:
        raise StageError(
            f"trainer '{config.specialise.trainer}' would adapt what {', '.join(routers)} cannot "
            f"weigh: {_reasons(coverage, wrong)}\n  Let its options (specialise.options; of lora, "
            f"target_modules) name others. There are: "
            f"{', '.join(coverage.kinds(coverage.routed)) or 'none'}."
        )


def _reasons(coverage: Coverage, wrong: Mapping[str, str]) -> str:
    kinds = {coverage.kind(name): why for name, why in wrong.items()}
    return "; ".join(f"{kind} {why}" for kind, why in kinds.items())
