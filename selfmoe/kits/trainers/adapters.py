"""Saving the adapter that PEFT has trained, and taking it off the base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import LoadedBase


def save_adapter(model: Any, folder: Path, base: LoadedBase) -> None:
    """Write a PEFT model's adapter so that equal adapters are equal files.

    PEFT writes the target modules, a set, in an order that differs between processes, the path
    the base was loaded from, and a model card with empty headings.

    Args:
        model: What ``get_peft_model`` returned.
        folder: Where to.
        base: The base it is for, which the adapter names as runs do.
    """
    model.save_pretrained(folder, save_embedding_layers=False)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text("utf-8"))
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    config["base_model_name_or_path"] = base.name
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    (folder / "README.md").unlink(missing_ok=True)


def go_on(model: Any, folder: Path) -> None:
    """Give a PEFT model's new adapter the weights of one that was saved.

    Args:
        model: What ``get_peft_model`` returned.
        folder: An adapter folder.

    Raises:
        StageError: If the adapter there has other layers, another rank or another scale.
    """
    from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    told = LoraConfig.from_pretrained(str(folder))
    own = model.peft_config[model.active_adapter]
    saved = load_file(folder / "adapter_model.safetensors")
    mine = {name: tensor.shape for name, tensor in get_peft_model_state_dict(model).items()}
    scale = [(config.r, config.lora_alpha, config.use_rslora) for config in (told, own)]
    if scale[0] != scale[1] or mine != {name: tensor.shape for name, tensor in saved.items()}:
        raise StageError(
            f"the adapter in {folder} cannot be gone on with: it has other layers, another rank or "
            f"another scale (r, alpha, rslora: {scale[0]}) than the trainer's options ask for "
            f"({scale[1]})\n  Train both with the same options."
        )
    set_peft_model_state_dict(model, saved)


def remove_adapter(model: Any, base: LoadedBase) -> None:
    """Take an adapter off its base, without leaving anything behind.

    Args:
        model: What ``get_peft_model`` returned.
        base: The base it was put on.
    """
    model.unload()
    base.model.eval().requires_grad_(False)
    vars(base.model).pop("peft_config", None)
