"""The tokenizer in a GGUF file, as the file means it."""

from __future__ import annotations

from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.models.gguf.header import Header
from selfmoe.models.gguf.pretokenizers import OWN_MERGES, doubt, pre_tokenizer

CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens that are found whole in a text."""

_KEY = "tokenizer.ggml."


def build_tokenizer(header: Header) -> Any:
    """Return the tokenizer that a file describes: its cut, special tokens and chat template.

    Raises:
        DataError: If its kind of vocabulary cannot be built.
    """
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    try:
        architecture, parts, settings = get_gguf_tokenizer(str(header.path))
        if _is_byte_level(header):
            backend = _byte_level(header)
        else:
            backend, _ = convert_gguf_tokenizer(architecture, parts)
            _set_prefix(backend, header)
        named = _settings(header, settings)
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    except Exception as error:  # a vocabulary that does not fit together raises types of Rust
        raise _unbuilt(header, error) from None
    _check_rows(header, tokenizer)
    return tokenizer


def _settings(header: Header, found: dict[str, Any]) -> dict[str, Any]:
    """Return special tokens and which of them open and end texts: only those that there are."""
    kept = {key: value for key, value in found.items() if value is not None}
    kept.setdefault("add_bos_token", header.facts.get(f"{_KEY}pre") in OWN_MERGES)
    for end in ("bos", "eos"):
        kept[f"add_{end}_token"] = kept.get(f"add_{end}_token", False) and f"{end}_token" in kept
    return kept


def doubts(header: Header) -> tuple[str, ...]:
    """Return what may differ from llama.cpp's tokens on the same file."""
    found = doubt(header.facts.get(f"{_KEY}pre")) if _is_byte_level(header) else None
    return (found,) if found else ()


def ends(header: Header) -> list[int]:
    """Return the tokens by which the file says that a text, a turn or a message ends."""
    named = (header.facts.get(f"{_KEY}{kind}_token_id") for kind in ("eos", "eot", "eom"))
    return list(dict.fromkeys(number for number in named if number is not None))


def _is_byte_level(header: Header) -> bool:
    return header.facts.get(f"{_KEY}model") == "gpt2"


def _byte_level(header: Header) -> Any:
    """Return byte-level BPE; tokens are spelled as in the file, so that each keeps its row."""
    from tokenizers import Tokenizer, decoders, models

    pre = header.facts.get(f"{_KEY}pre")
    vocabulary = {token: row for row, token in enumerate(_tokens(header))}
    merges = [_pair(merge) for merge in header.facts[f"{_KEY}merges"]]
    model = models.BPE(vocabulary, merges, ignore_merges=pre in OWN_MERGES)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    _add_whole(tokenizer, header)
    return tokenizer


def _tokens(header: Header) -> list[str]:
    found: list[str] = header.facts[f"{_KEY}tokens"]
    return found


def _pair(merge: str) -> tuple[str, str]:
    """Return the two halves of a merge; the first may begin with a space."""
    cut = merge.index(" ", 1)
    return merge[:cut], merge[cut + 1 :]


def _add_whole(tokenizer: Any, header: Header) -> None:
    """Let tokens be found whole that the file marks so: special ones, and those of users."""
    from tokenizers import AddedToken

    kinds = header.facts.get(f"{_KEY}token_type") or ()
    pairs = list(zip(_tokens(header), kinds, strict=False))
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, kind in pairs if kind == CONTROL]
    )
    tokenizer.add_tokens(
        [AddedToken(t, special=False, normalized=False) for t, k in pairs if k == USER_DEFINED]
    )


def _set_prefix(backend: Any, header: Header) -> None:
    """Let a space open every text between special tokens, or none, as the file says.

    transformers does not read that, and its own cut adds none before a text that has one already.
    """
    from tokenizers import decoders, normalizers, pre_tokenizers

    if not isinstance(backend.pre_tokenizer, pre_tokenizers.Metaspace):
        return
    plain = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if header.facts.get(f"{_KEY}add_space_prefix") is False:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
        backend.decoder = decoders.Sequence(plain)
        return
    opened = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    backend.normalizer = normalizers.Sequence(opened)
    backend.pre_tokenizer = None
    backend.decoder = decoders.Sequence([*plain, decoders.Strip(" ", 1, 0)])


def _check_rows(header: Header, tokenizer: Any) -> None:
    """Refuse a tokenizer in which a special token has another row than in the file."""
    tokens = _tokens(header)
    rows = tokenizer.get_vocab()
    for token in tokenizer.all_special_tokens:
        row = rows[token]
        if row >= len(tokens) or tokens[row] != token:
            raise _unbuilt(header, ValueError(f"'{token}' would be token {row}"))


def _unbuilt(header: Header, error: Exception) -> DataError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    kind = header.facts.get(f"{_KEY}model")
    return DataError(
        f"base '{header.path}': its tokenizer (tokenizer.ggml.model '{kind}') cannot be built: "
        f"{reason}\n  Give the model it was made from, in the transformers format."
    )
