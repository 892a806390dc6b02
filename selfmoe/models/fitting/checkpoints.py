"""Where a fit stands: parameters and AdamW's moments in safetensors, the rest in ``state.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from selfmoe.store.files import commit_folder, is_intact

_TENSORS, _FACTS = "state.safetensors", "state.json"
_KEPT = 2


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

    def save(self, losses: Sequence[float], tokens: int) -> None:
        """Write one, and remove all but the last two.

        Args:
            losses: The loss of every step so far.
            tokens: How many tokens have been read.
        """
        tensors = {}
        for name, parameter in self._parameters.items():
            tensors[f"{name}/value"] = parameter.detach()
            for key, value in self._state[parameter].items():
                tensors[f"{name}/{key}"] = value
        facts = {"losses": list(losses), "tokens": tokens}

        def write(folder: Path) -> None:
            save_file({k: v.contiguous() for k, v in tensors.items()}, folder / _TENSORS)
            (folder / _FACTS).write_text(json.dumps(facts))

        commit_folder(self._folder / f"step-{len(losses):07d}", write)
        for older in self._found()[:-_KEPT]:
            for file in older.iterdir():
                file.unlink()
            older.rmdir()

    def resume(self) -> tuple[list[float], int]:
        """Put parameters and optimizer to where the last intact one was written.

        Returns:
            The losses of the steps until then, and the tokens read; none of either without one.
        """
        for folder in reversed(self._found()):
            if is_intact(folder):
                self._restore(folder)
                facts = json.loads((folder / _FACTS).read_text())
                return facts["losses"], facts["tokens"]
        return [], 0

    def _found(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))

    def _restore(self, folder: Path) -> None:
        tensors = load_file(folder / _TENSORS)
        for name, parameter in self._parameters.items():
            parameter.data.copy_(tensors[f"{name}/value"])
            self._state[parameter] = {
                "step": tensors[f"{name}/step"],  # AdamW keeps its count on the CPU
                "exp_avg": tensors[f"{name}/exp_avg"].to(parameter.device),
                "exp_avg_sq": tensors[f"{name}/exp_avg_sq"].to(parameter.device),
            }
