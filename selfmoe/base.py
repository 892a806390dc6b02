"""Finding, hashing and loading the base model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.config import RunConfig
from selfmoe.errors import DataError
from selfmoe.files import sha256
from selfmoe.records import LoadedBase

HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What belongs to a base: it is fetched from the hub, and its hash covers it."""


@dataclass(frozen=True)
class BaseFiles:
    """A base model on disk.

    Attributes:
        name: As the user named it.
        path: Folder with config, safetensors and tokenizer.
        hash: First 10 hex digits of a sha256 over those files.
        device: Where it will run.
        dtype: Number format it will run in.
    """

    name: str
    path: Path
    hash: str
    device: str
    dtype: str


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
    device = _device(config.device)
    default = "float32" if device == "cpu" else "bfloat16"
    dtype = default if config.dtype == "auto" else config.dtype
    return BaseFiles(name, path, _hash(name, path), device, dtype)


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
    if not ((path / "config.json").is_file() and any(path.glob("*.safetensors"))):
        raise DataError(
            f"base '{name}': {path} holds no model; expected config.json, *.safetensors and a "
            "tokenizer, as save_pretrained writes them (pickled weights are not read)"
        )
    digest = hashlib.sha256()
    for file in sorted({file for pattern in HUB_FILES for file in path.glob(pattern)}):
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
    dtype = getattr(torch, files.dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            files.path, dtype=dtype, use_safetensors=True, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(files.path, local_files_only=True)
    except Exception as error:  # damaged files raise types of a dozen libraries
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise DataError(f"base '{files.name}': cannot load {files.path}: {reason}") from None
    model.to(files.device).eval().requires_grad_(False)
    _settle(model, tokenizer, files.name)
    context = _context(model, tokenizer)
    return LoadedBase(files.name, model, tokenizer, files.hash, context, config.blocks)


def _settle(model: Any, tokenizer: Any, name: str) -> None:
    """Make sure of end and padding tokens; drop generation defaults such as penalties.

    What decides a text is in selfmoe's settings, or it would not be in the keys of the cells.
    """
    from transformers import GenerationConfig

    ends = getattr(model.generation_config, "eos_token_id", None)
    tokenizer.padding_side = "left"
    if tokenizer.eos_token_id is None:
        first = ends[0] if isinstance(ends, list) else ends
        if first is None:
            raise DataError(
                f"base '{name}': neither tokenizer nor model names an end-of-text token; "
                "set eos_token in tokenizer_config.json"
            )
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(first)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if ends is not None else tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where Linux shows NVIDIA and AMD cards, and WSL any; without them torch need not be asked."""


def _device(name: str) -> str:
    none = sys.platform == "linux" and not any(Path(file).exists() for file in GPU_FILES)
    if name == "cpu" or (name == "auto" and none):
        return "cpu"
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(f"device '{name}' cannot be used: {reason}; try auto or cpu") from None
    return name


def _context(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(longest, tokenizer.model_max_length))
