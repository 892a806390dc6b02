"""How text is produced from a model: batches of prompts in, continuations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from selfmoe.contracts.lines import plain_lines
from selfmoe.models.tokens import check_known, padding, prompt_ids, side_by_side


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens; without it the likeliest token is taken."""

    temperature: float
    top_p: float
    seed: int


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the model wrote after a prompt.

    Attributes:
        text: Without the stop string and what follows it; its lines end in plain newlines.
        finished: Whether it ended by itself, not at the token limit.
    """

    text: str
    finished: bool


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    sampling: Sampling | None = None,
) -> list[Continuation]:
    """Return one continuation a prompt; all prompts go through the model as one batch.

    Args:
        model: Anything with transformers' ``generate``.
        tokenizer: Its tokenizer.
        prompts: Texts to continue.
        max_new_tokens: Longest continuation.
        stop: Strings that end a continuation.
        sampling: How to draw; the result depends on its seed and the batch only.

    Raises:
        DataError: If a prompt holds a token that the model has no row for.
    """
    rows = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    for row in rows:
        check_known(tokenizer, model, row)
    input_ids, attention_mask = side_by_side(rows, padding(tokenizer))
    length = input_ids.shape[1]
    options: dict[str, Any] = {"do_sample": False}
    if sampling is not None:
        options = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
        }
    criteria = StoppingCriteriaList([StopStrings(tokenizer, stop, length)] if stop else [])
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(sampling.seed if sampling else 0)
        output = model.generate(
            input_ids=input_ids.to(model.device),
            attention_mask=attention_mask.to(model.device),
            max_new_tokens=max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            stopping_criteria=criteria,
            **options,
        )
    ends = _ends(model, tokenizer)
    return [_cut(row, tokenizer, stop, ends) for row in output[:, length:].tolist()]


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end a text; some models have several."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}


def _cut(ids: list[int], tokenizer: Any, stop: Sequence[str], ends: set[int]) -> Continuation:
    """Return the continuation that the new tokens of one row stand for."""
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    ended = end is not None
    if end is None and tokenizer.pad_token_id in ids:
        end = ids.index(tokenizer.pad_token_id)
    ids = ids[:end]
    text = plain_lines(tokenizer.decode(ids, skip_special_tokens=True))
    cuts = [text.index(string) for string in stop if string in text]
    return Continuation(text[: min(cuts)] if cuts else text, ended or bool(cuts))


class StopStrings(StoppingCriteria):  # type: ignore[misc]
    """Ends a row once its new text holds one of the strings.

    Only rows whose last token could complete a string are decoded, so a step costs one look-up.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str], start: int) -> None:
        self._tokenizer, self._stop, self._start = tokenizer, tuple(stop), start
        # A line may end with two characters where the string has one.
        self._window = max(len(string.encode()) + string.count("\n") for string in stop) + 1
        last = {string[-1] for string in stop}
        self._ends = _tokens_with(tokenizer, frozenset(last | ({"\r"} if "\n" in last else set())))

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return which rows are done, shape ``(batch,)``."""
        last = input_ids[:, -1].clamp(max=len(self._ends) - 1)
        done = self._ends.to(last.device)[last].clone()
        first = max(self._start, input_ids.shape[1] - self._window)
        for row in done.nonzero().flatten().tolist():
            text = plain_lines(self._tokenizer.decode(input_ids[row, first:]))
            done[row] = any(string in text for string in self._stop)
        return done


_TOKENS_WITH: dict[tuple[int, frozenset[str]], tuple[Any, torch.Tensor]] = {}


def _tokens_with(tokenizer: Any, characters: frozenset[str]) -> torch.Tensor:
    """Return for every token id whether its text holds one of the characters."""
    key = (id(tokenizer), characters)
    if key not in _TOKENS_WITH:
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        ends = torch.tensor([any(c in text for c in characters) for text in texts])
        _TOKENS_WITH[key] = (
            tokenizer,
            ends,
        )  # holding the tokenizer keeps its id from being reused
    return _TOKENS_WITH[key][1]
