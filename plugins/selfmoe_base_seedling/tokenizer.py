"""The seedling's tokenizer: byte-level BPE that never splits text into unknowns."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from selfmoe_base_seedling.corpus import END

PAD = "<|pad|>"
CONTEXT = 8192


def train_tokenizer(documents: Iterable[str], vocab_size: int = 1536) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on `documents`.

    All 256 bytes are in the vocabulary. Each digit is a token of its own, together with the space
    before it, if any. `<|endoftext|>` both starts and ends documents (it is never added by itself);
    padding is on the left.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
