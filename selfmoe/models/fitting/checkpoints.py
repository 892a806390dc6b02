"""Where a fit stands: parameters and AdamW's moments in safetensors, the rest in ``state.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from selfmoe.store.files import commit_folder, is_intact

_TENSORS, _FACTS = "state.safetensors", "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_KEPT = 2


class State(NamedTuple):
    """Where a fit stood.

    Attributes:
        tensors: Values and moments of what is fitted, by names.
        facts: The rest, as it was given.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The last checkpoints of one fit, in folders ``step-0000042``.

    Args:
        folder: Where they lie; need not exist.
        parameters: What is fitted, by name.
        optimizer: The AdamW that fits it.
    """

    def __init__(
        self, folder: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.AdamW
    ) -> None:
        self._folder, self._parameters, self._state = folder, parameters, optimizer.state

    def save(self, step: int, facts: Mapping[str, Any]) -> None:
        """Write one, and remove all but the last two.

        Args:
            step: How many steps have been taken.
            facts: What else there is to know, as JSON can have it.
        """
        tensors = {}
        for name, parameter in self._parameters.items():
            tensors[f"{name}/value"] = parameter.detach()
            for key, value in self._state[parameter].items():
                tensors[f"{name}/{key}"] = value

        def write(folder: Path) -> None:
            save_file({k: v.contiguous() for k, v in tensors.items()}, folder / _TENSORS)
            (folder / _FACTS).write_text(json.dumps(facts))

        commit_folder(self._folder / f"step-{step:07d}", write)
        for older in self._found()[:-_KEPT]:
            for file in older.iterdir():
                file.unlink()
            older.rmdir()

    def read(self) -> State | None:
        """Return the last intact one, if there is any."""
        for folder in reversed(self._found()):
            if is_intact(folder):
                facts = json.loads((folder / _FACTS).read_text())
                return State(load_file(folder / _TENSORS), facts)
        return None

    def restore(self, state: State) -> None:
        """Put parameters and optimizer to where they were."""
        for name, parameter in self._parameters.items():
            parameter.data.copy_(state.tensors[f"{name}/value"])
            moments = {key: state.tensors.get(f"{name}/{key}") for key in _MOMENTS}
            if (step := state.tensors.get(f"{name}/step")) is not None:
                known = {k: m.to(parameter.device) for k, m in moments.items() if m is not None}
                self._state[parameter] = {"step": step, **known}  # AdamW counts on the CPU

    def _found(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))
