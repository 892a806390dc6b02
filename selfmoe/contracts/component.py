"""What all components share: a name, a summary, options that are checked, presets."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict

from selfmoe.contracts.paths import WithPaths


class ComponentConfig(WithPaths):
    """Options of a component: unknown keys are errors, values are not coerced.

    Paths are expanded: `~` is the home folder, `$NAME` an environment variable.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Component(ABC):
    """What every part has in common.

    Attributes:
        name: How configurations call it.
        reference_url: The paper or page that describes it; may be empty.
        default: Whether a run that does not say otherwise uses it.
        presets: Options this component recommends, by preset name.
    """

    name: ClassVar[str]
    reference_url: ClassVar[str] = ""
    default: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    class Config(ComponentConfig):
        """This component has no options."""

    def __init__(self, options: ComponentConfig | None = None) -> None:
        self.options: Any = self.Config() if options is None else options

    @classmethod
    def summary(cls) -> str:
        """Return one line on what this component is: the first line of its docstring."""
        return (cls.__doc__ or "").strip().split("\n")[0].rstrip(".")
