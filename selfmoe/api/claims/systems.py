"""The systems that claims speak of, as compositions of a run.

The mixture is the run's own composition by the paper's router, if it has one; what differs from it
in one thing has its other options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfmoe.api.claims.recipes import BASE, MIXTURE, RECIPES, Recipe
from selfmoe.config.filling import fill_options
from selfmoe.config.model import ComposeConfig, RunConfig
from selfmoe.contracts.errors import UnknownNameError
from selfmoe.contracts.records import System
from selfmoe.store.cell import key_of


@dataclass(frozen=True)
class Part:
    """A system of a claim, as the run has it.

    Attributes:
        system: What answers.
        experts: The experts it is made of.
        entry: Its composer; ``None`` for the base and for an expert alone.
    """

    system: System
    experts: tuple[str, ...] = ()
    entry: ComposeConfig | None = None


class Cast:
    """Which part each system of the claims has in a run.

    Args:
        config: The complete settings of the run.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config, self._own = config, dict(config.compose or {})
        self._made: dict[str, ComposeConfig] = {}
        self._known: dict[str, Part | str] = {}

    def of(self, name: str) -> Part | str:
        """Return the part of a system, or why it cannot be had."""
        if name not in self._known:
            self._known[name] = self._part(name)
        return self._known[name]

    def _part(self, name: str) -> Part | str:
        everyone = tuple(self._config.experts)
        if name == BASE:
            return Part(System.base())
        recipe = RECIPES[name]
        chosen = everyone if recipe.experts is None else everyone[: recipe.experts]
        if not chosen or (recipe.experts or 0) > len(everyone):
            return f"there are too few experts ({len(everyone)})"
        if recipe.experts is not None and len(chosen) == 1:
            return Part(System.of_expert(chosen[0]), chosen)
        if chosen == everyone and recipe.experts is not None:
            return self.of(MIXTURE)
        try:
            return self._composed(recipe, chosen)
        except UnknownNameError:
            return f"no {recipe.kind} '{recipe.name}' is installed"

    def _composed(self, recipe: Recipe, experts: tuple[str, ...]) -> Part | str:
        names, kind = self._config.registry, recipe.kind
        names.entry(kind, recipe.name)
        changed = dict(recipe.options) | ({"k": len(experts)} if recipe.every else {})
        given = self._start(recipe) | changed
        found: list[str] = []
        options = fill_options(self._config, kind, recipe.name, given, recipe.name, found)
        if found:
            return " ".join(found)
        own = {kind: recipe.name, "options": options}
        whole = experts == tuple(self._config.experts)
        entry = ComposeConfig.model_validate(own | ({} if whole else {"experts": list(experts)}))
        if problem := names.configure(kind, recipe.name, options).check(len(experts)):
            return str(problem)
        words = [recipe.name, *(f"{k}{v}" for k, v in changed.items())]
        label = self._label(entry, "-".join(words if whole else [*words, f"first{len(experts)}"]))
        return Part(System(label, kind), experts, entry)

    def _start(self, recipe: Recipe) -> dict[str, Any]:
        """Return the options of the run's own composition by that composer, if it has one."""
        for entry in self._own.values():
            if entry.component == (recipe.kind, recipe.name) and self._whole(entry):
                return dict(entry.options)
        return {}

    def _whole(self, entry: ComposeConfig) -> bool:
        return entry.experts in (None, self._config.experts) and not entry.extend

    def _label(self, entry: ComposeConfig, wanted: str) -> str:
        """Return the label of a composition: the run's own, if it has the same one."""
        known = {**self._own, **self._made}
        for label, other in known.items():
            if other == entry:
                return label
        taken = wanted in known
        label = f"{wanted}-{key_of(entry.model_dump(mode='json'))}" if taken else wanted
        self._made[label] = entry
        return label
