"""The tokenizer of a base: read as it was saved, checked against the model, open at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError, counted
from selfmoe.models.tokens import leave_open, prompt_ids, rows_of, unknown_token

FEW = 16
"""Words that may have been added to a vocabulary and left out of the model."""


def read_tokenizer(path: Path, local: dict[str, Any]) -> Any:
    """Return the tokenizer as it was saved.

    Where it was saved by its file alone, that file is all of it. transformers 5 would still take
    the class that some families' own tokenizers have, which adds tokens the model does not know.

    Args:
        path: Folder of the base.
        local: What keeps transformers from fetching anything.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    config = path / "tokenizer_config.json"
    saved = json.loads(config.read_text("utf-8")) if config.is_file() else {}
    generic = saved.get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
    whole = generic and (path / "tokenizer.json").is_file()
    return (PreTrainedTokenizerFast if whole else AutoTokenizer).from_pretrained(path, **local)


def check_vocabulary(name: str, model: Any, tokenizer: Any) -> None:
    """Refuse the tokenizer of another model.

    Special tokens may lie beyond the model's rows: text models of a family that reads images, too,
    have one for images. So may a few words that were added. Texts that hold one are refused when
    they come.

    Raises:
        DataError: If tokens of ordinary texts lie beyond the model's rows.
    """
    rows, added = rows_of(model), tokenizer.get_added_vocab()
    beyond = [t for t, number in tokenizer.get_vocab().items() if rows and number >= rows]
    known = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*tokenizer.all_special_tokens, *(t.content for t in known if t.special)}
    words = [token for token in beyond if token not in special]
    if len(words) > FEW or any(token not in added for token in words):
        raise DataError(
            f"base '{name}': the tokenizer has {len(tokenizer)} tokens, the model knows {rows}; "
            f"they do not belong together ({counted(len(words), 'token')} of ordinary texts would "
            "have no row)\n  Put the model's own tokenizer there, or resize the model's embeddings."
        )


def settle(model: Any, tokenizer: Any, name: str) -> None:
    """Make sure of end and padding tokens; drop generation defaults such as penalties.

    What decides a text is in selfmoe's settings, or it would not be in the keys of the cells. The
    tokenizer leaves the end of a prompt open.

    Raises:
        DataError: If there is no end-of-text token, or the model has no row for one that every
            text has.
    """
    from transformers import GenerationConfig

    ends = getattr(model.generation_config, "eos_token_id", None)
    tokenizer.padding_side = "left"
    leave_open(tokenizer)
    if not _knows(tokenizer, model, tokenizer.eos_token_id):
        tokenizer.eos_token = _end(model, tokenizer, ends, name)
    if not _knows(tokenizer, model, tokenizer.pad_token_id):
        tokenizer.pad_token = tokenizer.eos_token
    if token := unknown_token(tokenizer, model, prompt_ids(tokenizer, "a")):
        raise DataError(
            f"base '{name}': the tokenizer opens every text with '{token}', which the model has no "
            f"row for\n  Put the model's own tokenizer there, or set add_bos_token to false in "
            "tokenizer_config.json."
        )
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if ends is not None else tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _knows(tokenizer: Any, model: Any, token: int | None) -> bool:
    return token is not None and unknown_token(tokenizer, model, [token]) is None


def _end(model: Any, tokenizer: Any, ends: Any, name: str) -> str:
    """Return the end-of-text token that the model names."""
    named = ends if isinstance(ends, list) else [ends]
    for token in named:
        if _knows(tokenizer, model, token):
            return str(tokenizer.convert_ids_to_tokens(token))
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"base '{name}': neither tokenizer nor model names an end-of-text token; "
            "set eos_token in tokenizer_config.json"
        )
    raise DataError(
        f"base '{name}': the tokenizer ends texts with '{tokenizer.eos_token}', which the model "
        "has no row for, and the model names no other token\n  Put the model's own tokenizer "
        "there, or set eos_token in tokenizer_config.json to a token the model knows."
    )
