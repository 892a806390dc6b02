"""What was measured of every item, for each side of a claim, read from finished cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from selfmoe.api.claims.claim import Claim, Kind, Scope, Side
from selfmoe.api.claims.plan import ClaimsPlan
from selfmoe.api.claims.scopes import Asked, in_scope
from selfmoe.api.claims.systems import Part
from selfmoe.contracts.names import BenchmarkName, EvaluationName
from selfmoe.contracts.randomness import digest
from selfmoe.contracts.records import System
from selfmoe.pipeline.curation.touched import touched
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.records import read_examples
from selfmoe.store.cells import ROUTES, read_json
from selfmoe.store.files import read_jsonl

Items = Mapping[str, float]
"""Item -> what was measured of it."""

Values = Mapping[str, Items]
"""The same by benchmark."""


class UntestableError(Exception):
    """Something that a claim needs is not there, or says nothing."""


def sides_of(plan: ClaimsPlan, claim: Claim) -> list[tuple[Values, Values]]:
    """Return what both sides of a claim have of every item that it speaks of, by root seed.

    All have the same benchmarks, and of these the same items in the same order: those that every
    seed has.

    Raises:
        UntestableError: If an answer is missing, or nothing is left to speak of.
    """
    found = [_both(plan, claim, seed) for seed in plan.config.root_seeds]
    shared = {
        name: [i for i in found[0][0][name] if all(i in side[name] for f in found for side in f)]
        for name in found[0][0]
    }
    items = {name: kept for name, kept in shared.items() if len(kept) > 1}
    if not items:
        raise UntestableError(_NOTHING[claim.on == "untouched"])
    return [(_chosen(one, items), _chosen(other, items)) for one, other in found]


_NOTHING = {
    True: "every item shares eight words in a row with the data, or all but one",
    False: "no benchmark has two items that both sides answered",
}


def _chosen(side: Values, items: Mapping[str, Sequence[str]]) -> Values:
    return {name: {i: side[name][i] for i in kept} for name, kept in items.items()}


def _both(plan: ClaimsPlan, claim: Claim, seed: int) -> tuple[Values, Values]:
    """Return both sides of one root seed, of the items that the claim speaks of."""
    scope = in_scope(plan.of(seed, ""), claim, plan.cast)
    one, other = (_side(plan, side, seed, scope) for side in claim.sides)
    keeps = {str(_name(asked)): _kept(plan.of(seed, ""), asked, claim.on) for asked in scope}
    left = {n: {i: v for i, v in one[n].items() if keep(i)} for n, keep in keeps.items()}
    return left, other


def _side(plan: ClaimsPlan, side: Side, seed: int, scope: Sequence[Asked]) -> Values:
    """Return the mean over the variants of a side."""
    if side.kind == "constant":
        value = 1 / len(plan.config.experts) if side.value is None else side.value
        return {str(_name(a)): _Constant(value) for a in scope}
    read = _READ[side.kind]
    found = [read(plan.of(seed, v), _system(plan, side), a) for v in side.variants for a in scope]
    names = [str(_name(asked)) for asked in scope]
    several = [found[i :: len(scope)] for i in range(len(scope))]
    return {n: _mean(values) for n, values in zip(names, several, strict=True)}


class _Constant(dict[str, float]):
    """The same number of every item."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def __contains__(self, item: object) -> bool:
        return True

    def __missing__(self, item: str) -> float:
        return self._value


def _system(plan: ClaimsPlan, side: Side) -> System:
    part = plan.cast.of(side.system) if side.system else None
    return part.system if isinstance(part, Part) else System.base()


def _mean(several: Sequence[Items]) -> Items:
    """Return the mean of every item that all have."""
    return {
        item: fmean(one[item] for one in several)
        for item in several[0]
        if all(item in one for one in several)
    }


def _name(asked: Asked) -> BenchmarkName:
    return BenchmarkName(asked[0].name, asked[1].name)


def _scores(plan: Plan, system: System, asked: Asked) -> Items:
    """Return how right a system's answers are."""
    name = _name(asked)
    task = plan.of("evaluate").get(str(EvaluationName(system.name, name)))
    if task is None or not task.cell.path.exists():
        raise UntestableError(f"{system.name} has not answered {name}")
    about = read_json(task.cell.path / f"{name.stem}.json")
    if about["not_run"]:
        raise UntestableError(f"{system.name} on {name} was not run: {about['not_run']}")
    rows = read_jsonl(task.cell.path / f"{name.stem}.samples.jsonl")
    return {row["id"]: float(row["score"]) for row in rows}


def _experts(plan: Plan, asked: Asked, names: Sequence[str]) -> list[Items]:
    return [_scores(plan, System.of_expert(name), asked) for name in names]


def _home(plan: Plan, system: System, asked: Asked) -> Items:
    return _scores(plan, System.of_expert(asked[0].name), asked)


def _away(plan: Plan, system: System, asked: Asked) -> Items:
    names = [name for name in plan.config.domains or [] if name != asked[0].name]
    return _mean(_experts(plan, asked, names))


def _best(plan: Plan, system: System, asked: Asked) -> Items:
    return crossed(_experts(plan, asked, plan.config.domains or []))


def crossed(several: Sequence[Items]) -> Items:
    """Return, of every item, the value of whichever is best on the other half of the items.

    Choosing on the same items would make the best look better than it is. A hash of an item's id
    says to which half it belongs.

    Args:
        several: Of each that may be the best one, the values of the same items.
    """
    halves: dict[bool, list[str]] = {False: [], True: []}
    for item in several[0]:
        halves[bool(digest(item) % 2)].append(item)
    best = {
        half: max(several, key=lambda one: sum(one[item] for item in halves[not half]))
        for half in halves
    }
    return {item: best[half][item] for half, items in halves.items() for item in items}


def _routes(plan: Plan, system: System, asked: Asked) -> dict[str, Mapping[str, Any]]:
    """Return what is known of a router's weights, by item; see ``selfmoe.pipeline.routed``."""
    name = _name(asked)
    task = plan.of("route").get(str(EvaluationName(system.name, name)))
    if task is None or not task.cell.path.exists():
        raise UntestableError(f"the routing of {system.name} on {name} is not known")
    return {row["id"]: row for row in read_jsonl(task.cell.path / ROUTES)}


def _weights(row: Mapping[str, Any]) -> Items:
    """Return the experts' shares: of the answer's tokens, or of the prompt's where it is empty."""
    found: Items = row.get("response") or row.get("prompt") or {}
    return found


def _answer_weights(plan: Plan, system: System, asked: Asked) -> dict[str, Items]:
    rows = _routes(plan, system, asked)
    return {item: found for item, row in rows.items() if (found := _weights(row))}


def _own(plan: Plan, system: System, asked: Asked) -> Items:
    found = _answer_weights(plan, system, asked)
    return {item: weights.get(asked[0].name, 0.0) for item, weights in found.items()}


def _strongest(plan: Plan, system: System, asked: Asked) -> Items:
    found = _answer_weights(plan, system, asked)
    others = [name for name in plan.config.experts if name != asked[0].name]
    return crossed([{i: w.get(name, 0.0) for i, w in found.items()} for name in others])


def _top(weights: Items) -> str:
    return max(weights, key=weights.__getitem__)


def _named(plan: Plan, system: System, asked: Asked) -> Items:
    found = _answer_weights(plan, system, asked)
    return {item: float(_top(weights) == asked[0].name) for item, weights in found.items()}


def _steady(plan: Plan, system: System, asked: Asked) -> Items:
    rows = _routes(plan, system, asked)
    pairs = {i: (_weights(row), _weights(row["reworded"] or {})) for i, row in rows.items()}
    return {i: float(_top(a) == _top(b)) for i, (a, b) in pairs.items() if a and b}


_READ: Mapping[Kind, Callable[[Plan, System, Asked], Items]] = {
    "answers": _scores,
    "home": _home,
    "away": _away,
    "best": _best,
    "own": _own,
    "strongest": _strongest,
    "named": _named,
    "steady": _steady,
}


def _kept(plan: Plan, asked: Asked, scope: Scope) -> Callable[[str], bool]:
    """Return what says whether a claim speaks of an item."""
    if scope != "untouched":
        return lambda item: True
    data = [task.cell.path for task in plan.of("curate").values()]
    if not all(path.exists() for path in data):
        raise UntestableError("the data of experts is not there")
    examples = [example for path in data for example in read_examples(path)]
    known = touched(asked[1], examples)
    return lambda item: item not in known
