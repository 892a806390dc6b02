"""Tiny models in GGUF, llama.cpp's format, as its own writer makes them; needs the package gguf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfmoe.testing.families import tiny_model
from selfmoe.testing.family import VOCABULARY

NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
"""Kinds of tokens."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a byte-level vocabulary.

    Attributes:
        tokens: In the order of their rows.
        merges: Pairs such as ``"a b"``, the first applied first.
        kinds: Of each token.
    """

    tokens: Sequence[str]
    merges: Sequence[str]
    kinds: Sequence[int]


@dataclass(frozen=True)
class Contents:
    """What a file is made of.

    Attributes:
        family: Of the model, such as ``llama``.
        storage: How matrices are stored: ``F32``, ``F16``, ``BF16``, ``Q8_0``, ``Q4_1``, …
        vocabulary: Its tokens.
        facts: Metadata to add or, with ``None``, to leave out.
        tensors: Tensors to add, by llama.cpp's names.
        config: Changes to the model's configuration.
    """

    family: str = "llama"
    storage: str = "F32"
    vocabulary: Vocabulary | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def byte_vocabulary() -> Vocabulary:
    """Return one token a byte, a few pairs, and two that are special, in 288 rows."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = ["Ġ Ġ", "ĠĠ ĠĠ", "Ġ 1", "1 0", "a b"]
    plain = [*letters, *(pair.replace(" ", "") for pair in pairs)]
    special = ["<eos>", "<pad>", "<|turn|>"]
    words = [f"<w{row}>" for row in range(VOCABULARY - len(plain) - len(special))]
    kinds = [NORMAL] * len(plain) + [CONTROL] * len(special) + [USER_DEFINED] * len(words)
    return Vocabulary([*plain, *special, *words], pairs, kinds)


def write_gguf(path: Path, contents: Contents | None = None) -> Path:
    """Write a random model of a family with its tokenizer, by the package ``gguf``.

    Args:
        path: The file.
        contents: What it is made of; a Llama without.

    Returns:
        ``path``.
    """
    from gguf import GGUFWriter

    made = contents or Contents()
    words = made.vocabulary or byte_vocabulary()
    sizes: dict[str, Any] = {"vocab_size": len(words.tokens), "intermediate_size": 64}
    model = tiny_model(made.family, **sizes | dict(made.config))
    facts = {**_shape(made.family, model.config), **_tokens(words), **made.facts}
    writer = GGUFWriter(path, facts.pop("general.architecture", made.family))
    for key, value in facts.items():
        if value is not None:
            _add(writer, key, value)
    for name, tensor in {**dict(_tensors(made.family, model)), **made.tensors}.items():
        _store(writer, name, tensor, made.storage)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _shape(family: str, config: Any) -> dict[str, Any]:
    heads = config.num_attention_heads
    facts = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": getattr(config, "intermediate_size", None),
        "attention.head_count": heads,
        "attention.head_count_kv": getattr(config, "num_key_value_heads", None),
        "attention.layer_norm_rms_epsilon": getattr(config, "rms_norm_eps", None),
        "attention.layer_norm_epsilon": getattr(config, "layer_norm_epsilon", None),
        "attention.key_length": getattr(config, "head_dim", None),
        "rope.freq_base": (getattr(config, "rope_parameters", None) or {}).get("rope_theta"),
        "rope.dimension_count": getattr(config, "head_dim", None),
    }
    named = {f"{family}.{key}": value for key, value in facts.items()}
    return {"general.name": "Tiny", **named}


def _tokens(words: Vocabulary) -> dict[str, Any]:
    special = {"eos": "<eos>", "padding": "<pad>"}
    known = {k: words.tokens.index(t) for k, t in special.items() if t in words.tokens}
    facts = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": list(words.tokens),
        "merges": list(words.merges),
        "token_type": list(words.kinds),
        **{f"{kind}_token_id": row for kind, row in known.items()},
        "add_bos_token": False,
    }
    template = "{% for m in messages %}<|turn|>{{ m.content }}{% endfor %}"
    named = {f"tokenizer.ggml.{key}": value for key, value in facts.items()}
    return {**named, "tokenizer.chat_template": template}


def _add(writer: Any, key: str, value: Any) -> None:
    kinds = {bool: "bool", int: "uint32", float: "float32", str: "string", list: "array"}
    getattr(writer, f"add_{kinds[type(value)]}")(key, value)


def _tensors(family: str, model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of a model as llama.cpp's own conversion arranges them."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = next(key for key, name in MODEL_ARCH_NAMES.items() if name == family)
    names = get_tensor_name_map(architecture, model.config.num_hidden_layers)
    for key, weight in model.state_dict().items():
        stem, _, suffix = key.rpartition(".")
        if stem == "lm_head" and model.config.tie_word_embeddings:
            continue
        yield f"{names.get_name(stem)}.{suffix}", _arranged(family, stem, weight, model.config)


def _arranged(family: str, stem: str, weight: Any, config: Any) -> Any:
    """Return a tensor in llama.cpp's order: of a Llama's heads, or of GPT-2's matrices."""
    array = weight.detach().float().numpy()
    if family == "gpt2" and weight.dim() == 2 and ".h." in stem:
        return array.T.copy()
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    kind = heads.get(stem.rpartition(".")[2])
    if family != "llama" or kind is None:
        return array
    grouped = array.reshape(getattr(config, kind), 2, -1, array.shape[-1])
    return grouped.swapaxes(1, 2).reshape(array.shape).copy()


def _store(writer: Any, name: str, tensor: Any, storage: str) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    kind = GGMLQuantizationType[storage if tensor.ndim > 1 else "F32"]
    writer.add_tensor(name, quantize(tensor, kind), raw_dtype=kind)
