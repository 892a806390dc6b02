"""What claims change of a run's settings: which data experts learn, which examples are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from selfmoe.config.model import RunConfig

Variant = Callable[[RunConfig], RunConfig]


def _changed(config: RunConfig, section: str, **values: Any) -> RunConfig:
    changed = getattr(config, section).model_copy(update=values)
    return config.model_copy(update={section: changed})


def _seeds(config: RunConfig) -> RunConfig:
    return _changed(config, "curate", data="seeds")


def _gold(config: RunConfig) -> RunConfig:
    return _seeds(_changed(config, "seeds", n=config.brainstorm.n))


def _quarter(config: RunConfig) -> RunConfig:
    return _changed(config, "curate", share=config.curate.share / 4)


def _list(config: RunConfig, number: int) -> RunConfig:
    return _changed(config, "evaluate", fewshot_seed=number)


VARIANTS: Mapping[str, Variant] = {
    "": lambda config: config,
    "seeds": _seeds,
    "gold": _gold,
    "quarter": _quarter,
    **{f"list-{number}": partial(_list, number=number) for number in range(3)},
}
"""Name -> the settings it makes of a run's; the first one is the run as it is.

``seeds``: experts learn from the run's seeds alone. ``gold``: from as many gold-labelled tasks as
the run brainstorms. ``quarter``: from a quarter of the data. ``list-0`` to ``list-2``: other solved
examples are shown.
"""
