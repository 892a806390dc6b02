"""Filling in the options of a component: preset, then what the base recommends, then the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from selfmoe.config.layers import merge
from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import UnknownNameError
from selfmoe.registry.options import problems, validate
from selfmoe.registry.registry import Kind, Registry


class Filler:
    """Replaces a component's options by all of them: preset, then advice, then the user's."""

    def __init__(
        self, names: Registry, preset: str, advice: Mapping[str, Any], found: list[str]
    ) -> None:
        self.names, self.preset, self.advice, self.found = names, preset, advice, found

    def fill(self, kind: Kind, name: Any, section: Any, where: str) -> None:
        """Complete the options in a section; problems are told as being at ``where``."""
        if not isinstance(section, dict) or not isinstance(name, str):
            return
        if name not in self.names.names(kind):
            try:
                self.names.entry(kind, name)
            except UnknownNameError as error:
                self.found.append(f"{where}.{kind}: " + " ".join(str(error).split()))
            return
        options = self.whole(kind, name, section.get("options") or {}, f"{where}.options")
        if options is not None:
            section["options"] = options

    def fill_backend(self, full: dict[str, Any]) -> None:
        """Complete the options of the backend that generates, if settings name one."""
        section = merge(full.get("generate", {}))
        full["generate"] = section
        if section.get("backend") is not None:
            self.fill("backend", section["backend"], section, "generate")
        elif section.get("options"):
            named = ", ".join(section["options"])
            self.found.append(f"generate.options: {named} without a backend; name generate.backend")

    def fill_executor(self, full: dict[str, Any]) -> None:
        """Name the executor if settings do not, and complete its options."""
        section = merge(full.get("execute", {}))
        full["execute"] = section
        if section.get("executor") is None:
            section["executor"] = next(iter(self.names.defaults("executor")), None)
        if section["executor"] is not None:
            self.fill("executor", section["executor"], section, "execute")
        elif section.get("options"):
            named = ", ".join(section["options"])
            self.found.append(f"execute.options: {named} without an executor; name one")

    def whole(
        self, kind: Kind, name: str, given: Mapping[str, Any], where: str
    ) -> dict[str, Any] | None:
        """Return all options of a component that there is; ``None``, and why, if some are wrong."""
        cls = self.names.get(kind, name)
        layers = (cls.presets.get(self.preset, {}), self.advice.get(name, {}), given)
        try:
            found: dict[str, Any] = validate(cls.Config, merge(*layers)).model_dump(mode="json")
        except ValidationError as error:
            self.found.extend(problems(error, cls.Config, where))
            return None
        return found


def fill_options(
    config: RunConfig, kind: Kind, name: str, given: Mapping[str, Any], where: str, found: list[str]
) -> dict[str, Any]:
    """Return all options of a component as a run with these settings would have them.

    Args:
        config: Complete settings.
        kind: Kind of the component.
        name: Its name.
        given: The options that were decided.
        where: What to call them in a problem.
        found: To be added to: what is wrong with them.
    """
    names, preset = config.registry, str(config.preset)
    plugin = names.get("base", config.base) if config.base in names.names("base") else None
    advice = plugin.settings.get(preset, {}) if plugin else {}
    section: dict[str, Any] = {"options": dict(given)}
    Filler(names, preset, advice.get("options", {}), found).fill(kind, name, section, where)
    return dict(section["options"])
