"""Finding, hashing and loading the base model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config import RunConfig
from selfmoe.errors import DataError
from selfmoe.files import sha256
from selfmoe.records import LoadedBase

if TYPE_CHECKING:
    import torch

HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


@dataclass(frozen=True)
class BaseFiles:
    """A base model on disk.

    Attributes:
        name: As the user named it.
        path: Folder with config, safetensors and tokenizer.
        hash: First 10 hex digits of a sha256 over those files.
    """

    name: str
    path: Path
    hash: str


def find_base(config: RunConfig) -> BaseFiles:
    """Return the base that ``config.base`` names: a plugin's, a folder, or a hub id.

    Raises:
        DataError: If there is no model in the transformers format.
    """
    name = str(config.base)
    if name in config.registry.names("base"):
        path = Path(config.registry.configure("base", name).path())
    elif Path(name).expanduser().exists():
        path = Path(name).expanduser()
    else:
        path = _download(name, config.registry.names("base"))
    return BaseFiles(name, path, _hash(name, path))


def _download(name: str, plugins: Iterable[str]) -> Path:
    choices = f"a folder, a hub id, or one of: {', '.join(plugins)}"
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DataError(f"base '{name}' does not exist; give {choices}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"base '{name}' is no folder here and could not be had from the hub: {reason}\n"
            f"  Give {choices}."
        ) from None


def _hash(name: str, path: Path) -> str:
    weights = sorted(path.glob("*.safetensors"))
    if not path.is_dir() or not (path / "config.json").is_file() or not weights:
        raise DataError(
            f"base '{name}': {path} holds no model; expected config.json, *.safetensors and a "
            "tokenizer, as save_pretrained writes them (pickled weights are not read)"
        )
    digest = hashlib.sha256()
    for file in [path / "config.json", *weights, *sorted(path.glob("tokenizer*"))]:
        if file.is_file():
            digest.update(f"{file.name}\0{sha256(file)}\0".encode())
    return digest.hexdigest()[:10]


def load_base(files: BaseFiles, config: RunConfig) -> LoadedBase:
    """Return the base, frozen, on its device, tokenizer padding on the left.

    Raises:
        DataError: If transformers cannot read the folder.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # selfmoe shows its own
    device = _device(config.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    if config.dtype != "auto":
        dtype = getattr(torch, config.dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            files.path, dtype=dtype, use_safetensors=True, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(files.path, local_files_only=True)
    except Exception as error:  # damaged files raise types of a dozen libraries
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise DataError(f"base '{files.name}': cannot load {files.path}: {reason}") from None
    model.to(device).eval().requires_grad_(False)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedBase(files.name, model, tokenizer, files.hash, _context(model, tokenizer))


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"device '{name}' cannot be used: {reason}; try auto or cpu") from None
    return device


def _context(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(longest, tokenizer.model_max_length))
