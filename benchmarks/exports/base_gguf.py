"""A Llama in GGUF, in float32, for llama.cpp; its own conversion script makes the same of it.

Prompts are asked as tokens, so that how llama.cpp cuts a text into tokens does not matter here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfmoe.models.structure import text_config
from selfmoe.outward.export.gguf import turned

NORMAL, CONTROL = 1, 3
"""Kinds of tokens."""


def write_base(model: Any, tokenizer: Any, path: Path) -> None:
    """Write a model of the family ``llama`` with a byte-level vocabulary.

    Args:
        model: The model, with nothing on it.
        tokenizer: Its tokenizer.
        path: The file.
    """
    from gguf import MODEL_ARCH, GGUFWriter, get_tensor_name_map

    config = text_config(model)
    writer = GGUFWriter(path, "llama")
    _shape(writer, config)
    _vocabulary(writer, tokenizer, config)
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, weight in model.state_dict().items():
        stem, _, suffix = key.rpartition(".")
        if stem == "lm_head" and config.tie_word_embeddings:
            continue
        array = turned(weight.float(), stem, "llama", config) if weight.dim() == 2 else weight
        writer.add_tensor(
            f"{names.get_name(stem)}.{suffix}", array.float().contiguous().cpu().numpy()
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shape(writer: Any, config: Any) -> None:
    writer.add_name("base")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _vocabulary(writer: Any, tokenizer: Any, config: Any) -> None:
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {row["content"] for row in told["added_tokens"] if row["special"]}
    words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    words += [f"<unused{n}>" for n in range(len(words), config.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types([CONTROL if word in special else NORMAL for word in words])
    writer.add_token_merges([" ".join(pair) for pair in told["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
