"""What all components share: a name, a summary, options that are checked, presets."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from selfmoe.paths import WithPaths

if TYPE_CHECKING:
    pass


class ComponentConfig(WithPaths):
    """Options of a component: unknown keys are errors, values are not coerced.

    Paths are expanded: `~` is the home folder, `$NAME` an environment variable.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FitConfig(ComponentConfig):
    """Options of everything fitted by ``selfmoe.fit``; trainers and routers inherit them."""

    lr: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")
    epochs: int = Field(3, ge=1, description="Passes over the data.")
    batch_size: int = Field(32, ge=1, description="Examples an optimizer step.")
    micro_batch_size: int | None = Field(
        None, ge=1, description="Examples a forward pass; smaller needs less memory. Default: all."
    )
    max_steps: int | None = Field(None, ge=1, description="Optimizer steps at the most.")
    warmup: float = Field(0.03, ge=0, le=1, description="Share of the steps the rate rises over.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the learning rate falls after the warm-up."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of AdamW.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm of a step.")
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, more time."
    )


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
