"""How texts become tokens. A prompt is an unfinished text, the same in training and inference.

Many tokenizers end what they are given by themselves (``</s>``, ``[SEP]``), or open it twice. What
they put in front of a text opens a prompt, once; what they put behind it does not belong there, for
that is where the model goes on. Everything that turns prompts into tokens does it here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.prompts import ChatPrompt

if TYPE_CHECKING:
    from torch import Tensor

_PROBE = "Answer: 12, b"
STRANGE = "token the model lacks"
"""Why a text of the model's own is dropped that happens to spell out such a token."""


def prompt_ids(tokenizer: Any, text: str) -> list[int]:
    """Return a prompt's tokens: what the tokenizer puts in front of a text, once, and the text.

    What a chat template wrote is whole as it is; its tokens are those of ``apply_chat_template``.
    """
    if isinstance(text, ChatPrompt):
        return text_ids(tokenizer, text)
    ids: list[int] = list(tokenizer(text).input_ids)
    return ids[unfinished(tokenizer, ids)]


def text_ids(tokenizer: Any, text: str, after: str = "") -> list[int]:
    """Return the tokens of a text that goes on behind another one: nothing is put around it.

    SentencePiece opens a text with a space that is not there, but not what goes on behind a text.

    Args:
        tokenizer: The tokenizer.
        text: The text.
        after: What it goes on behind, of which a whole number of tokens is kept as it is. Where
            no tokenization of both begins with that, the text goes on behind a line's end.
    """
    ids = partial(_bare, tokenizer)
    for opening in dict.fromkeys((after, "\n")) if after else ():
        before, whole = ids(opening), ids(opening + text)
        if whole[: len(before)] == before:
            return whole[len(before) :]
    return ids(text)


def _bare(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def unfinished(tokenizer: Any, ids: Sequence[int]) -> slice:
    """Return which of the tokens that a tokenizer made of a text belong to a prompt.

    Args:
        tokenizer: The tokenizer.
        ids: All it returns for the text, with the tokens it adds.
    """
    front, behind = _added(tokenizer)
    end = len(ids) - (len(behind) if behind and list(ids[-len(behind) :]) == behind else 0)
    opening, start = _period(front), 0
    size = len(opening)
    while size and list(ids[start : min(end, start + 2 * size)]) == [*opening, *opening]:
        start += size
    return slice(start, end)


def answered_ids(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], int]:
    """Return the tokens of a prompt and its answer, and how many of them are the prompt's.

    The prompt is encoded by itself, so that training, inference and measuring see the same one,
    and the answer as it goes on behind it.
    """
    ids = prompt_ids(tokenizer, prompt)
    return [*ids, *text_ids(tokenizer, answer, after=prompt)], len(ids)


def side_by_side(
    rows: Sequence[Sequence[int]], pad: int, side: Literal["left", "right"] = "left"
) -> tuple[Tensor, Tensor]:
    """Return several texts in one tensor.

    Args:
        rows: The tokens of each.
        pad: The token that pads.
        side: Where to pad: on the left, so that all of them can go on, or on the right.

    Returns:
        Token ids, and an attention mask that is 0 on padding; both of shape ``(batch, time)`` and
        type ``long``, on the CPU.
    """
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        start = longest - len(row) if side == "left" else 0
        ids[index, start : start + len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, start : start + len(row)] = 1
    return ids, mask


def first_tokens(numbers: Sequence[int], time: int) -> Tensor:
    """Return True on the first tokens of each row, such as a prompt's.

    Args:
        numbers: How many tokens of each row.
        time: Tokens a row.

    Returns:
        Shape ``(len(numbers), time)``, on the CPU.
    """
    import torch

    return torch.arange(time) < torch.tensor(numbers)[:, None]


def padding(tokenizer: Any) -> int:
    """Return the token that pads: the tokenizer's own, else end-of-text."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)


def rows_of(model: Any) -> int | None:
    """Return how many tokens a model knows; ``None`` for what has no embeddings to ask."""
    get = getattr(model, "get_input_embeddings", None)
    weight = getattr(get() if get else None, "weight", None)
    return None if weight is None else int(weight.shape[0])


def unknown_token(tokenizer: Any, model: Any, ids: Iterable[int]) -> str | None:
    """Return the first of some tokens that the model has no row for; ``None`` if it knows all."""
    rows = rows_of(model)
    found = next((token for token in ids if rows is not None and token >= rows), None)
    return None if found is None else str(tokenizer.convert_ids_to_tokens(found))


def check_known(tokenizer: Any, model: Any, ids: Iterable[int], what: str = "a prompt") -> None:
    """Refuse texts with a token that the model has no row for.

    Args:
        tokenizer: The tokenizer.
        model: The model.
        ids: The tokens of the text.
        what: The text, for the error.

    Raises:
        DataError: If there is one; names it.
    """
    token = unknown_token(tokenizer, model, ids)
    if token is not None:
        raise DataError(
            f"{what} holds '{token}', which is a token of the tokenizer but not of the model: it "
            f"knows {rows_of(model)} tokens, this one comes later\n  Write the text without "
            f"'{token}', or take a model that knows it."
        )


def leave_open(tokenizer: Any) -> None:
    """Let a tokenizer add nothing behind a text any more, as far as that is its post-processor's.

    Then what is asked through the tokenizer itself is unfinished, too.
    """
    if not _added(tokenizer)[1] or not getattr(tokenizer, "is_fast", False):
        return
    from tokenizers import Tokenizer

    backend = tokenizer.backend_tokenizer
    told = json.loads(backend.to_str())
    told["post_processor"] = _opened(told["post_processor"])
    backend.post_processor = Tokenizer.from_str(json.dumps(told)).post_processor


def _added(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the tokens that a tokenizer puts in front of a text and behind it."""
    whole, bare = list(tokenizer(_PROBE).input_ids), text_ids(tokenizer, _PROBE)
    for start in range(len(whole) - len(bare) + 1):
        if bare and whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


def _period(tokens: list[int]) -> list[int]:
    """Return the shortest list that, repeated, makes up another one."""
    sizes = (n for n in range(1, len(tokens)) if tokens == tokens[:n] * (len(tokens) // n))
    return tokens[: next(sizes, len(tokens))]


def _opened(processor: Any) -> Any:
    """Return the description of a post-processor without what it puts behind a text."""
    match processor and processor["type"]:
        case "Sequence":
            parts = [_opened(part) for part in processor["processors"]]
            return {**processor, "processors": parts}
        case "TemplateProcessing":
            return {**processor, "single": _until_text(processor["single"])}
        case "BertProcessing":
            return _opening_with(*processor["cls"])
        case "RobertaProcessing":
            offsets = {key: processor[key] for key in ("add_prefix_space", "trim_offsets")}
            level = {"type": "ByteLevel", "use_regex": True, **offsets}
            return {"type": "Sequence", "processors": [level, _opening_with(*processor["cls"])]}
    return processor


def _until_text(pieces: list[Any]) -> list[Any]:
    last = max((n for n, piece in enumerate(pieces) if "Sequence" in piece), default=-1)
    return pieces[: last + 1] or pieces


def _opening_with(token: str, number: int) -> dict[str, Any]:
    opening = {"SpecialToken": {"id": token, "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B")]
    return {
        "type": "TemplateProcessing",
        "single": [opening, texts[0]],
        "pair": [opening, *texts],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }
