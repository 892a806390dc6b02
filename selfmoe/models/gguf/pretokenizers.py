"""How a text is cut before tokens are looked up: what ``tokenizer.ggml.pre`` in a GGUF file means.

transformers builds the cut for some of its values and takes GPT-2's for all others, without a
word. Here stand the others: which cut the models were trained with. Whoever writes GGUF files
names them by the model that first had the cut.
"""

from __future__ import annotations

from functools import cache
from typing import Any

GPT2 = (
    "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de",
    "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0", "mellum", "modern-bert", "exaone4", "mpt",
    "olmo", "jais", "trillion", "granite-docling",
)  # fmt: skip
"""GPT-2's own cut, which transformers takes anyway."""

DIGITS = (
    "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2",
)  # fmt: skip
"""Every digit by itself, and GPT-2's cut of what lies between."""

SAME = {
    "stablelm2": "qwen2", "hunyuan": "qwen2", "solar-open": "qwen2", "grok-2": "qwen2",
    "glm4": "llama-bpe", "chatglm-bpe": "llama-bpe",
}  # fmt: skip
"""Cuts that transformers has under another name."""

OWN_MERGES = (
    "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
    "jina-v5-nano", "tekken",
)  # fmt: skip
"""A piece that is a token whole is taken whole, and BOS opens a text where the file is silent."""

MARKS = ("tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2")
"""llama.cpp cuts in front of combining marks here; the models' own cut does not."""

WIDE_SPACES = ("deepseek-coder",)
"""llama.cpp leaves spaces beyond ASCII with what follows; the models' own cut does not."""

_WORDS = r" ?[^(\s|.,!?…。，、।۔،)]+"
_BLOOM = ("bloom", "poro-chat", "gpt3-finnish")
_FALCON = (
    r"[\p{P}\$\+<=>\^~\|`]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"[0-9][0-9][0-9]",
)
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}")
_SEED_CODER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)


@cache
def _patterns() -> dict[str, tuple[str, ...]]:
    """Return the patterns that cut one after the other, by what the file says."""
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    theirs = {name: (pattern,) for name, pattern in GGUF_PRE_TOKENIZER_SPLITS.items()}
    return {
        **dict.fromkeys(_BLOOM, (_WORDS,)),
        "viking": (_WORDS, r"\p{N}"),
        "falcon": _FALCON,
        "deepseek-coder": _DEEPSEEK_CODER,
        "seed-coder": _SEED_CODER,
        **theirs,
        **{name: theirs[other] for name, other in SAME.items()},
    }


def known() -> list[str]:
    """Return the values of ``tokenizer.ggml.pre`` whose cut is known."""
    return sorted({*GPT2, *DIGITS, *_patterns()})


def pre_tokenizer(named: str | None) -> Any:
    """Return the cut that a byte-level vocabulary is used with, for the ``tokenizers`` library.

    Args:
        named: What the file says; GPT-2's is returned for what is not known.
    """
    from tokenizers import Regex, pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel
    if named in DIGITS:
        cuts = [pre_tokenizers.Digits(individual_digits=True)]
        return pre_tokenizers.Sequence([*cuts, byte_level(add_prefix_space=False)])
    if named not in _patterns():
        return byte_level(add_prefix_space=False)
    splits = [pre_tokenizers.Split(Regex(p), "isolated") for p in _patterns()[named]]
    return pre_tokenizers.Sequence([*splits, byte_level(add_prefix_space=False, use_regex=False)])


def doubt(named: str | None) -> str | None:
    """Return what may differ from llama.cpp, if a cut is not known; ``None`` if it is."""
    if named in known():
        return _apart(str(named))
    said = f"'{named}', which is not known here" if named else "not in the file"
    return (
        f"its pre-tokenizer (tokenizer.ggml.pre) is {said}; texts are cut as GPT-2's are: runs of "
        "spaces, digits, contractions, line ends and punctuation may become other tokens than "
        "those the model was trained on"
    )


def _apart(named: str) -> str | None:
    """Return where llama.cpp departs from a known cut; the folder has the models' own."""
    if named in MARKS:
        what = "combining marks (Thai, Hindi, accents as characters of their own)"
    elif named in WIDE_SPACES:
        what = "spaces beyond ASCII"
    else:
        return None
    return (
        f"llama.cpp cuts texts with {what} otherwise than the pre-tokenizer '{named}' that its "
        "models were trained with, which is used here: such texts may be other tokens there"
    )
