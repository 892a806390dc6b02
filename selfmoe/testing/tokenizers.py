"""Tiny tokenizers of every kind, that open texts, end them, or neither; built in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, processors
from tokenizers import pre_tokenizers as pre
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

LETTERS = sorted(pre.ByteLevel.alphabet())
"""A token each, of the byte-level ones."""

Make = Callable[[bool], Any]
"""Makes a tokenizer; says whether it ends texts."""


def added(opens: str, ends: str, special: dict[str, int], ended: bool) -> Any:
    """Return a post-processor that opens texts and, if it shall, ends them.

    Args:
        opens: Tokens it puts in front, with spaces between.
        ends: Tokens it puts behind, likewise.
        special: The ids of all of them.
        ended: Whether texts are ended.
    """
    return processors.TemplateProcessing(
        single=f"{opens} $A {ends if ended else ''}".split(),
        special_tokens=[(token, special[token]) for token in (*opens.split(), *ends.split())],
    )


def _wrapped(tokenizer: Tokenizer, **names: str) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", **names)


def byte_level(opens: str, ended: bool, repeated: str = "<eos>") -> Any:
    """Return a tokenizer with a token a byte; 256 ends texts, 257 pads, 258 may open them.

    Args:
        opens: What it puts in front of a text: nothing, or ``<bos>``.
        ended: Whether it ends texts by itself.
        repeated: What it ends them with.
    """
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(LETTERS)}, []))
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>", "<pad>", "<bos>"])
    template = added(opens, repeated, {"<eos>": 256, "<bos>": 258}, ended)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(), template])
    return _wrapped(tokenizer, eos_token="<eos>", pad_token="<pad>", bos_token="<bos>")


def _roberta(ended: bool) -> Any:
    tokenizer = byte_level("<bos>", ended)
    if ended:
        tokenizer.backend_tokenizer.post_processor = processors.RobertaProcessing(
            ("<eos>", 256), ("<bos>", 258), trim_offsets=True, add_prefix_space=False
        )
    return tokenizer


def _sentencepiece(ended: bool) -> Any:
    signs = sorted({*"▁abcdefghijklmnopqrstuvwxyzABIRTW0123456789.,:#"})
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    vocabulary += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    vocabulary += [(sign, -5.0) for sign in signs] + [("▁is", -4.0), ("▁the", -4.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"),
    ])  # fmt: skip
    joined = [decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1)]
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), *joined])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = added("<s>", "</s>", {"<s>": 1, "</s>": 2}, ended)
    return _wrapped(tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _llama(ended: bool) -> Any:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdio"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return LlamaTokenizer(vocab=vocabulary, merges=[], add_bos_token=True, add_eos_token=ended)


def _wordpiece(processor: str, ended: bool) -> Any:
    words = [*map(chr, range(33, 127)), *(f"##{chr(c)}" for c in range(33, 127)), "add", "response"]
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: number for number, word in enumerate([*names, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(names)
    if processor == "bert" and ended:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    else:
        tokenizer.post_processor = added("[CLS]", "[SEP]", {"[CLS]": 2, "[SEP]": 3}, ended)
    return _wrapped(tokenizer, unk_token="[UNK]", eos_token="[SEP]", pad_token="[PAD]")


KINDS: Mapping[str, Make] = {
    "byte-level": partial(byte_level, ""),
    "byte-level, opened": partial(byte_level, "<bos>"),
    "byte-level, ended twice": partial(byte_level, "<bos>", repeated="<eos> <eos>"),
    "roberta": _roberta,
    "sentencepiece": _sentencepiece,
    "llama": _llama,
    "wordpiece": partial(_wordpiece, "template"),
    "wordpiece, bert": partial(_wordpiece, "bert"),
}
"""What a kind is called -> makes one."""

CHATS: Mapping[str, str] = {
    "marked": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "opened": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}"
        "{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}"
        "{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "with a system text": (
        "{{ bos_token }}{% if messages[0].role != 'system' %}{{ 'Be kind.' + eos_token }}"
        "{% endif %}{% for m in messages %}{{ m.role + ': ' + m.content | trim + eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    ),
    "that does not ask": (
        "{% for m in messages %}{{ m.role + '\n' + m.content + eos_token + '\n' }}{% endfor %}"
    ),
}
"""Chat templates for all of these tokenizers; the second puts a space before what is answered."""
