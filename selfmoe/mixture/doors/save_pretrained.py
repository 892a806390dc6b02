"""``save_pretrained`` and ``push_to_hub`` of a model with experts: nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.doors.methods import Refusal
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.names import OURS
from selfmoe.mixture.saving import save_checkpoint
from selfmoe.mixture.surgery import Surgery
from selfmoe.mixture.trainable import LearningDelta
from selfmoe.models.structure import stores_transposed


def guard_saving(mixture: Mixture, surgery: Surgery) -> None:
    """Replace what saves a model, or a part of it that holds experts.

    Args:
        mixture: What is on the model.
        surgery: Changes the model.
    """
    for module in mixture.model.modules():
        if hasattr(module, "save_pretrained") and _experts_in(module):
            surgery.method(module, "save_pretrained", SavePretrained(mixture, module))
            if mixture.gate is not None and hasattr(module, "push_to_hub"):
                surgery.method(module, "push_to_hub", Refusal(_unsaved(mixture)))


class SavePretrained:
    """``save_pretrained`` of a model with experts.

    Experts that always count fully are put into the weights that are written. With a router it
    refuses, unless a trainer calls it, who says whether this is the main process and wants to go on
    from what is written.

    Args:
        mixture: What is at work.
        module: The model, or a part of it that can be saved by itself.
    """

    def __init__(self, mixture: Mixture, module: Any) -> None:
        self._mixture, self._module = mixture, module
        self._plain: Callable[..., Any] = module.save_pretrained

    def __call__(
        self,
        save_directory: str | Path,
        is_main_process: bool | None = None,
        state_dict: dict[str, Tensor] | None = None,
        **options: Any,
    ) -> Any:
        """Save the model.

        Args:
            save_directory: The folder.
            is_main_process: Whether this process writes; trainers say so, others do not.
            state_dict: What is written in the place of the module's own; same names and shapes.
            options: Of the model's own ``save_pretrained``.

        Returns:
            What that returns, or nothing where a mixture was written.

        Raises:
            NotSupportedError: If a router is at work and no trainer asks, or a weight that experts
                are put into is quantised.
        """
        mixture, main = self._mixture, is_main_process is not False
        whole = self._module is mixture.model
        if whole and is_main_process is not None and (mixture.gate is not None or self._learns()):
            if main:
                save_checkpoint(mixture.model, Path(save_directory), state_dict)
            return None
        if mixture.gate is not None:
            raise NotSupportedError(_unsaved(mixture))
        merged = _merged(self._module, state_dict)
        return self._plain(save_directory, is_main_process=main, state_dict=merged, **options)

    def _learns(self) -> bool:
        return any(isinstance(module, LearningDelta) for module in self._module.modules())


def _experts_in(module: nn.Module) -> bool:
    return any(isinstance(part, RoutedDelta) for part in module.modules())


@torch.no_grad()
def _merged(module: nn.Module, state: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Return a state dict with what static experts add put into the weights.

    Raises:
        NotSupportedError: If a weight is quantised.
    """
    state = dict(module.state_dict() if state is None else state)
    for name, layer in module.named_modules():
        for delta in layer.children():
            if isinstance(delta, RoutedDelta):
                key = f"{name}.weight"
                state[key] = _sum(key, state[key], delta, stores_transposed(layer))
    return {name: tensor for name, tensor in state.items() if not any(o in name for o in OURS)}


def _sum(name: str, weight: Tensor, delta: RoutedDelta, transposed: bool) -> Tensor:
    if not weight.is_floating_point():
        raise NotSupportedError(
            f"{name} is quantised ({weight.dtype}), and what experts add to it cannot be put into "
            "it; save the mixture with selfmoe.save_mixture(model, folder)"
        )
    exact = torch.promote_types(weight.dtype, torch.float32)
    added = delta.b.to(exact) @ delta.a.to(exact)
    return (weight.to(exact) + (added.t() if transposed else added).to(weight.device)).to(weight)


def _unsaved(mixture: Mixture) -> str:
    return (
        f"router '{mixture.composition.composer}' weighs its experts while the model runs, and a "
        "model that save_pretrained writes has no place for them: it would load as the base alone\n"
        "  selfmoe.save_mixture(model, folder) keeps router and experts, and "
        "selfmoe.load_mixture(base, folder) puts them on the base again; model.mixture.detach() "
        "gives back the base, which can be saved."
    )
