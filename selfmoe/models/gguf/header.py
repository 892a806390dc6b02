"""What a GGUF file says about itself, and what is refused before any weight is read."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError

MAGIC = b"GGUF"
INSTALL = "pip install 'selfmoe[gguf]'"
_ARRAYS = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")
"""Lists of texts that are read; of others only the length is."""


@dataclass(frozen=True)
class Header:
    """What stands before the weights of a GGUF file.

    Attributes:
        path: The file.
        facts: Its metadata, such as ``llama.block_count`` -> 30.
        tensors: Names of its tensors, as llama.cpp names them.
        quantisation: How most of its weights are stored, such as ``Q4_1`` or ``Q4_K_M``.
    """

    path: Path
    facts: Mapping[str, Any]
    tensors: tuple[str, ...]
    quantisation: str

    @property
    def architecture(self) -> str:
        """The family of the model, in llama.cpp's words."""
        return str(self.facts["general.architecture"])

    def own(self, key: str) -> Any:
        """Return a fact about the architecture, such as ``rope.freq_base``; ``None`` without."""
        return self.facts.get(f"{self.architecture}.{key}")


def is_gguf(path: Path) -> bool:
    """Return whether a path is a file in GGUF, whatever its name."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """Return what a GGUF file says about itself.

    Raises:
        DataError: If it is damaged, no whole language model, of an architecture that transformers
            cannot read, or the package ``gguf`` is missing.
    """
    _check_package(path)
    from gguf import GGUFReader
    from transformers.integrations.gguf import read_gguf_metadata

    try:
        facts, names = read_gguf_metadata(str(path), _ARRAYS)
        _check_kind(path, facts)
        tensors = GGUFReader(str(path)).tensors
    except (ValueError, LookupError, OSError, struct.error) as error:
        raise damaged(path, error) from None
    return Header(path, facts, names, _quantisation(facts, tensors))


def read_tensor(header: Header, name: str) -> Any:
    """Return one tensor of a file as an array of float32, by its name in llama.cpp."""
    from gguf import GGUFReader, dequantize

    found = next(t for t in GGUFReader(str(header.path)).tensors if t.name == name)
    return dequantize(found.data, found.tensor_type).copy()


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error for a file whose header cannot be read."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return DataError(
        f"base '{path}' cannot be read as GGUF: {reason}\n"
        "  Fetch it again, and compare its size with the original's; if it is whole, upgrade gguf."
    )


def readable() -> list[str]:
    """Return the architectures of language models in GGUF that transformers can read."""
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    writes = {*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    old = [n for n in GGUF_SUPPORTED_ARCHITECTURES if n in writes or f"{n}_text" in writes]
    return sorted({*old, *GGUF_CONFIG_ARCHS})


def _check_package(path: Path) -> None:
    from transformers.utils.import_utils import is_gguf_available

    if not is_gguf_available():
        raise DataError(
            f"base '{path}' is in GGUF, and the package gguf, which reads it, is not installed "
            f"or too old\n  Install the extra: {INSTALL}"
        )


def _check_kind(path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse files that are no whole language model, or of a family that cannot be read."""
    kind, parts = facts.get("general.type", "model"), facts.get("split.count", 1)
    architecture = str(facts["general.architecture"])
    if kind != "model" or architecture == "clip":
        raise DataError(
            f"base '{path}' is no language model: its general.type is '{kind}', its architecture "
            f"'{architecture}'\n  Give the file of the model itself; experts are not a base."
        )
    if parts > 1:
        raise DataError(
            f"base '{path}' is one of {parts} parts of a model\n"
            "  Put them together with llama.cpp: llama-gguf-split --merge FIRST_PART OUT.gguf"
        )
    known = readable()
    if not {architecture, *_spellings(architecture)} & {*known}:
        raise DataError(
            f"base '{path}' is a model of the architecture '{architecture}', which transformers "
            f"cannot read from GGUF\n  It reads: {', '.join(known)}. Give the model it was made "
            "from, in the transformers format with safetensors."
        )


def _spellings(architecture: str) -> set[str]:
    """Return how transformers may spell an architecture of llama.cpp: ``qwen2moe``, ``qwen2_moe``.

    Its tables hold its own names; which of them a file's name stands for is decided in its code.
    """
    plain = architecture.replace("-", "_")
    return {plain, plain.removesuffix("moe") + "_moe"}


def _quantisation(facts: Mapping[str, Any], tensors: Sequence[Any]) -> str:
    """Return how the weights are stored: as the file says, else as most of its numbers are."""
    from gguf import LlamaFileType

    named = facts.get("general.file_type")
    if named in {*LlamaFileType}:
        return str(LlamaFileType(named).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.tensor_type.name] += int(tensor.n_elements)
    return counts.most_common(1)[0][0] if counts else "empty"
