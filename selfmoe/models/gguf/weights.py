"""The weights in a GGUF file, as numbers: read by transformers, whole, and written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.models.gguf.header import Header, read_tensor
from selfmoe.models.gguf.settings import FACTORS, complete
from selfmoe.models.gguf.tokenizer import ends
from selfmoe.models.quiet import quiet

WRITERS = (
    "transformers_version", "_name_or_path", "_model_name_or_path", "_from_model_config", "backend",
    "is_local", "local_files_only",
)  # fmt: skip
"""Settings that tell who wrote a file, from what and where, and would change the base's hash."""

_HEAD, _EMBEDDINGS = "output.weight", "token_embd.weight"


def read_model(header: Header) -> Any:
    """Return the model in float32, as transformers dequantises it.

    Raises:
        DataError: If transformers cannot read it, or would leave out a part of it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.quantization_config import GgufConfig

    file: dict[str, Any] = {"gguf_file": header.path.name, "local_files_only": True}
    try:
        config = complete(header, AutoConfig.from_pretrained(header.path.parent, **file))
        with quiet():
            model, told = AutoModelForCausalLM.from_pretrained(
                header.path.parent,
                config=config,
                dtype=torch.float32,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
                **file,
            )
    except DataError:
        raise
    except Exception as error:  # what is not as transformers expects it raises types of its layers
        raise _unread(header, error) from None
    _check_whole(header, model, told)
    model.generation_config.eos_token_id = _one_or_all(ends(header))
    return model


def _one_or_all(numbers: list[int]) -> int | list[int] | None:
    return numbers if len(numbers) > 1 else numbers[0] if numbers else None


def _unread(header: Header, error: Exception) -> DataError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return DataError(
        f"base '{header.path}' ({header.architecture}) cannot be read by transformers: {reason}\n"
        "  Give the model it was made from, in the transformers format with safetensors."
    )


def _check_whole(header: Header, model: Any, told: dict[str, Any]) -> None:
    """Refuse models of which a part would be random, and files of which a part is not read."""
    absent = sorted(told["missing_keys"])
    left = sorted({*told["unexpected_keys"], *_not_read(header, model)})
    for names, what in (
        (absent, "the file lacks weights that transformers expects"),
        (left, "the file holds weights that transformers leaves out"),
    ):
        if names:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise DataError(
                f"base '{header.path}' ({header.architecture}): {what} of a "
                f"{type(model).__name__}: {shown}\n  Give the model it was made from, in the "
                "transformers format with safetensors."
            )


def _not_read(header: Header, model: Any) -> set[str]:
    """Return the names of tensors that transformers' older reader passes over."""
    from transformers.integrations.gguf.utils import is_gguf_arch_supported
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    if is_gguf_arch_supported(header.architecture):
        return set()
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)()
    read = {*get_gguf_hf_weights_map(model, processor), FACTORS}
    if header.architecture == "gpt2":
        read.add(_HEAD)
    elif model.config.tie_word_embeddings and not _repeats(header):
        read.discard(_HEAD)
    return {n for n in header.tensors if n not in read and n.removesuffix(".weight") not in read}


def _repeats(header: Header) -> bool:
    """Return whether the head's matrix is that of the embeddings, with which it is then tied."""
    if _HEAD not in header.tensors:
        return True
    return bool((read_tensor(header, _HEAD) == read_tensor(header, _EMBEDDINGS)).all())


def write_model(model: Any, folder: Path) -> str:
    """Write a model so that transformers 4 and 5 compute the same with it.

    Args:
        model: As ``read_model`` returns it.
        folder: Where to.

    Returns:
        The number format: bfloat16 where that holds every weight exactly, else float32.

    Raises:
        OSError: If the folder cannot be written.
    """
    import torch
    from safetensors import SafetensorError

    short = all(_fits(weight) for weight in model.state_dict().values())
    if short:
        model.to(torch.bfloat16)
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # as on a full disk
        raise OSError(str(error)) from None
    config = json.loads((folder / "config.json").read_text("utf-8"))
    rewrite(folder / "config.json", **_older(config))
    rewrite(folder / "generation_config.json")
    return "bfloat16" if short else "float32"


def _fits(weight: Any) -> bool:
    """Return whether bfloat16 holds the numbers of a tensor exactly."""
    import torch

    kept = weight.to(torch.bfloat16).to(weight.dtype)
    return bool(not weight.is_floating_point() or torch.equal(kept, weight))


def _older(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the rotation by the names that transformers 4 knows."""
    rope = config.get("rope_parameters") or {}
    kinds = {kind: value for kind, value in rope.items() if isinstance(value, dict)}
    full = kinds.get("full_attention", rope)
    found = {"rope_theta": full["rope_theta"]} if "rope_theta" in full else {}
    if local := kinds.get("sliding_attention"):
        found["rope_local_base_freq"] = local["rope_theta"]
    scaling = {key: value for key, value in full.items() if key != "rope_theta"}
    if scaling.get("rope_type", "default") != "default":
        found["rope_scaling"] = scaling
    return found


def rewrite(path: Path, **changes: Any) -> None:
    """Change a file of settings, and leave out what says nothing about the model."""
    content = {**json.loads(path.read_text("utf-8")), **changes}
    kept = {key: value for key, value in content.items() if key not in WRITERS}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", "utf-8")
