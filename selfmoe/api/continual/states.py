"""The settings of a run as its experts come one by one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

from selfmoe.api.expert_settings import Join, RawSettings, experts_of, routed_labels, shrunk
from selfmoe.api.expert_source import ExpertSource, with_source
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import ConfigError, UnknownNameError, did_you_mean
from selfmoe.registry.registry import Kind, Registry


class State(NamedTuple):
    """A run with some of its experts.

    Attributes:
        expert: Who came last; empty for the state that everything begins with.
        raw: Its settings, complete, as in YAML.
        config: The same, resolved.
    """

    expert: str
    raw: RawSettings
    config: RunConfig


class Coming(NamedTuple):
    """Who is there first, and who comes in which order.

    Attributes:
        start: The experts that are there first.
        order: Those that come one by one.
        raw: Settings with all of them.
        labels: The compositions that they join.
    """

    start: Sequence[str]
    order: Sequence[str]
    raw: RawSettings
    labels: Sequence[str]


def coming(
    raw: RawSettings, experts: Sequence[str] | None, systems: Sequence[str] | None
) -> Coming:
    """Return who is there first and who comes.

    Args:
        raw: The run's complete settings.
        experts: Who comes, in order: experts of the run, which it then begins without, and domains
            that plugins provide. ``None``: the run's own, all but the first.
        systems: Labels of the compositions they join; ``None``: all that route.

    Raises:
        ConfigError: If an expert is named twice, or nobody comes.
        UnknownNameError: If there is no such domain or composition.
    """
    labels, there = routed_labels(raw, systems), experts_of(raw)
    named = list(experts if experts is not None else there)
    if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
        raise ConfigError(f"'{twice[0]}' is named twice; an expert comes once")
    start = [name for name in there if name not in named]
    if not start:
        start, named = named[:1], named[1:]
    if not named:
        raise ConfigError(
            f"nobody comes to {', '.join(start)}\n  Name experts of the run, or domains that "
            "plugins provide: --domains a,b (selfmoe list-plugins --kind domain)"
        )
    whole = copy.deepcopy(raw)
    whole["compose"] = {
        label: {**whole["compose"][label], "experts": None, "extend": []} for label in labels
    }
    for name in named:
        if name not in there:
            _refuse_unknown(raw, name)
            whole = with_source(whole, name, ExpertSource())
    return Coming(start, named, whole, labels)


def _refuse_unknown(raw: RawSettings, name: str) -> None:
    known = _registry(raw).names("domain")
    if name not in known:
        raise UnknownNameError(
            f"no domain named '{name}'{did_you_mean(name, known) or '.'}\n"
            f"  Installed: {', '.join(known)}. A field without a plugin joins the run first "
            "(selfmoe add-expert --seeds), then it can be named here."
        )


def states_of(who: Coming, join: Join) -> list[State]:
    """Return the run before anybody came, and after each.

    Args:
        who: Who is there and who comes.
        join: ``extend``: compositions take in who comes and keep what they have learnt, where they
            can; ``refit``: they are made anew each time.
    """
    return [_state(who, count, join) for count in range(len(who.order) + 1)]


def _state(who: Coming, count: int, join: Join) -> State:
    raw = copy.deepcopy(who.raw)
    for name in reversed(who.order[count:]):
        raw = shrunk(raw, name)
    came = list(who.order[:count])
    experts = [*who.start, *came]
    raw["domains"] = [name for name in experts if name in raw["domains"]]
    for label, entry in raw["compose"].items():
        entry["experts"] = experts
        entry["extend"] = came if join == "extend" and _can_extend(raw, label) else []
    expert = came[-1] if came else ""
    return State(expert, raw, resolve(raw, f"with '{expert}'" if expert else "the first experts"))


def back(state: State, before: State) -> State:
    """Return the state before the last expert came, as taking that expert out again makes it.

    Args:
        state: The state with that expert.
        before: The one before it; says who came last then.
    """
    raw = shrunk(state.raw, state.expert)
    return State(before.expert, raw, resolve(raw, f"without '{state.expert}'"))


def _can_extend(raw: RawSettings, label: str) -> bool:
    """Return whether the composer of a composition takes in experts that come later."""
    entry: dict[str, Any] = raw["compose"][label]
    kind: Kind = "router" if entry.get("router") else "merge"
    return _registry(raw).get(kind, entry[kind]).extend is not Composer.extend


def _registry(raw: RawSettings) -> Registry:
    return RunConfig.model_validate({"plugin_dir": raw.get("plugin_dir")}).registry
