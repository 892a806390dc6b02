"""What a folder must hold to be a base; told from its files, before any weight is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.models.formats import of_file, of_folder, placeholder, recognise
from selfmoe.models.known_formats import PICKLE
from selfmoe.store.files import sha256

TOKENIZERS = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken", "bpe.codes")
CONFIG = "config.json"
ADAPTER = "adapter_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
FILES = (
    CONFIG, "generation_config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZERS,
    "special_tokens_map.json", "added_tokens.json", "tekken.json", "emoji.json",
    "word_pronunciation.json", "word_shape.json",
)  # fmt: skip
"""What a base's texts depend on: its hash covers these files, and no licence or log beside them."""

OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf")
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How transformers ends the names of models that write text."""
NO_MODEL = (
    "holds no model; expected config.json, *.safetensors and a tokenizer, as save_pretrained "
    "writes them"
)


def check_checkpoint(name: str, path: Path) -> None:
    """Refuse a folder that holds no decoder selfmoe can work on.

    Args:
        name: The base as the user named it, for the error.
        path: The folder.

    Raises:
        DataError: If something is missing, or the model is of another kind; says what to do.
    """
    where = f"base '{name}'"
    place = where if name == str(path) else f"{where}: {path}"
    if not (path / CONFIG).is_file() and (found := recognise(path)):
        raise DataError(f"{place} is {found.what}\n  {found.advice}")
    if not (path / CONFIG).is_file() or (path / ADAPTER).is_file():
        raise DataError(f"{place} {_instead(path)}")
    for file in _files(path):
        if found := placeholder(file):
            raise DataError(f"{where}: {file} is {found.what}\n  {found.advice}")
    _check_config(where, path, _read(where, path / CONFIG))
    weights = _weights(where, place, path)
    if not any(file.is_file() for pattern in TOKENIZERS for file in path.glob(pattern)):
        raise DataError(
            f"{place} has no tokenizer, such as tokenizer.json\n"
            "  Put the model's tokenizer there with tokenizer.save_pretrained."
        )
    for file in weights:
        _check_whole(where, file)


def identity(path: Path) -> str:
    """Return 10 hex digits over the names and contents of a base's files."""
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(f"{file.name}\0{sha256(file)}\0".encode())
    return digest.hexdigest()[:10]


def sizes(path: Path) -> dict[str, int]:
    """Return the sizes of a base's files, by name."""
    return {file.name: file.stat().st_size for file in _files(path)}


def _files(path: Path) -> list[Path]:
    return sorted({file for pattern in FILES for file in path.glob(pattern) if file.is_file()})


def _instead(path: Path) -> str:
    """Return what a folder is that is not a model alone."""
    if (path / CONFIG).is_file():
        return (
            f"holds an adapter beside the model; with {ADAPTER} there, the model that it names "
            f"would be loaded instead\n  Move {ADAPTER} and its weights to a folder of their own."
        )
    if (path / ADAPTER).is_file():
        return (
            "holds an adapter, not a model\n"
            "  Give the model it was trained on; experts are not a base."
        )
    return NO_MODEL


def _read(where: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot load {path}: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: cannot load {path}: expected a JSON object")
    return value


def _check_config(where: str, path: Path, config: Mapping[str, Any]) -> None:
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    decoders = "Give a decoder-only language model, such as a Llama, Qwen or GPT-2"
    if config.get("is_encoder_decoder"):
        raise DataError(f"{where} is an encoder-decoder model ({path})\n  {decoders}.")
    if kinds and not any(kind.endswith(WRITERS) for kind in kinds):
        raise DataError(
            f"{where} writes no text: {path / CONFIG} names {', '.join(kinds)}\n  {decoders}; "
            "models without a language-model head cannot be used either."
        )
    quantised = config.get("quantization_config") or config.get("quantization")
    if quantised:
        how = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        how = how or ("mlx" if "quantization" in config else "")
        raise DataError(
            f"{where} is quantised ({how or 'quantization_config'}), which is not supported: "
            "weights are changed by merges and must be numbers\n"
            "  Give the model it was made from, with --dtype bfloat16 to save memory."
        )
    if config.get("auto_map"):
        _refuse_own_code(where, path, str(config.get("model_type")))


def _refuse_own_code(where: str, path: Path, model_type: str) -> None:
    """Refuse models whose code comes with them, unless transformers has that code, too."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if model_type not in CONFIG_MAPPING_NAMES:
        raise DataError(
            f"{where} needs program code of its own (auto_map in {path / CONFIG}), which selfmoe "
            f"does not run; transformers has no '{model_type}' itself\n"
            "  Give a model that is part of transformers, or upgrade transformers if it is by now."
        )


def _weights(where: str, place: str, path: Path) -> list[Path]:
    """Return the files of the weights; all are there."""
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if (path / INDEX).is_file():
        return _shards(where, path)
    if others := sorted(f for p in OTHER_WEIGHTS for f in path.glob(p) if f.is_file()):
        raise _other_weights(place, others[0])
    named = sorted(file.name for file in path.glob("*.safetensors"))
    if not named and (found := of_folder(path)):
        raise DataError(f"{place} is {found.what}\n  {found.advice}")
    what = f"; it has {', '.join(named)}" if named else ""
    raise DataError(f"{place} {NO_MODEL}; there is neither {WEIGHTS} nor {INDEX}{what}")


def _shards(where: str, path: Path) -> list[Path]:
    weights = _read(where, path / INDEX).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise DataError(f"{where}: {path / INDEX} names no weights; fetch it again")
    shards = sorted({str(shard) for shard in weights.values()})
    missing = [shard for shard in shards if not (path / shard).is_file()]
    if missing:
        raise DataError(
            f"{where}: {len(missing)} of {len(shards)} weight files named in {path / INDEX} are "
            f"missing, the first is {missing[0]}\n  Fetch or copy the model again."
        )
    return [path / shard for shard in shards]


def _check_whole(where: str, file: Path) -> None:
    """Refuse a weight file that is cut short, or something else; its weights are not read."""
    if found := of_file(file):
        raise DataError(f"{where}: {file} is {found.what}\n  {found.advice}")


def _other_weights(place: str, file: Path) -> DataError:
    """Return what to do with weights that are no safetensors."""
    found = of_file(file)
    if found is not None and found != PICKLE:
        return DataError(
            f"{place} holds its weights as {file.name} only, which is {found.what}\n"
            f"  {found.advice}"
        )
    return DataError(
        f"{place} holds its weights as {file.name} only; selfmoe reads safetensors, "
        "which cannot run code when they are read\n"
        "  If you trust the file, load it with transformers and save it again with "
        "model.save_pretrained."
    )
