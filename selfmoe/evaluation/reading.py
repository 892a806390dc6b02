"""Reading texts side by side: what they all begin with once, then each behind a copy of that."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from selfmoe.mixture.forward.memory import Decisions
from selfmoe.mixture.names import HANDLE
from selfmoe.models.attending import Attending
from selfmoe.models.caches import cache_name
from selfmoe.models.tokens import first_tokens, side_by_side

_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers of caches in which a token's place is its number, and nothing but the window forgets."""
_CHUNKED = "attention_chunk_size"
_TRIED = 12  # tokens of a text that is read in both ways before any text is
_EXACT, _COARSE = 1e-3, 0.1


class Text(NamedTuple):
    """A prompt and what may follow it, as far as a model reads it: all but the last token.

    Attributes:
        tokens: The tokens.
        prompt: How many of them are the prompt's, at least 1.
    """

    tokens: tuple[int, ...]
    prompt: int

    @property
    def front(self) -> tuple[int, ...]:
        """What is read before the first token whose logits count."""
        return self.tokens[: self.prompt - 1]

    @property
    def places(self) -> range:
        """Which tokens have logits that count: the prompt's last one and those behind it."""
        return range(self.prompt - 1, len(self.tokens))


class Prefix(NamedTuple):
    """What texts begin with, read already.

    Attributes:
        tokens: How many tokens it has.
        cache: What the model keeps of them, as one row.
    """

    tokens: int
    cache: Any


NOTHING = Prefix(0, None)


class Reader:
    """Reads texts with one model.

    Args:
        model: A causal language model, with or without a mixture.

    Attributes:
        tokens: How many tokens it has read.
    """

    def __init__(self, model: Any) -> None:
        self._model, self.tokens = model, 0
        self._attending = Attending(model)
        self._takes = inspect.signature(model.forward).parameters
        self._cache = cache_name(model)

    @property
    def shares(self) -> bool:
        """Whether a prefix may be read once: texts behind it are what they are when read whole."""
        return _follows(self._mixture) and self._can_share

    @property
    def _mixture(self) -> Any:
        return getattr(self._model, HANDLE, None)

    @cached_property
    def _can_share(self) -> bool:
        needed = {"attention_mask", "position_ids", "logits_to_keep"}
        if not needed <= set(self._takes) or self._cache in (None, "cache_params"):
            return False
        try:
            return _is_plain(self._model.config) and self._reads_alike()
        except Exception:
            return False  # a model from elsewhere, which cannot be read so

    def _reads_alike(self) -> bool:
        """Try it: a model from elsewhere may take a past and not heed it."""
        ids = tuple(range(1, _TRIED + 1))
        texts = [Text(ids, _TRIED // 2), Text(ids[: _TRIED // 2 + 2], _TRIED // 2)]
        whole = torch.cat(self.logits(texts)).float()
        behind = torch.cat(self.logits(texts, self.begin(ids[: _TRIED // 3], 2))).float()
        exact = next(self._model.parameters()).dtype in (torch.float32, torch.float64)
        off = (whole - behind).abs().max() / whole.abs().max().clamp(min=1e-12)
        return bool(off <= (_EXACT if exact else _COARSE))

    def begin(self, tokens: Sequence[int], texts: int) -> Prefix:
        """Return a prefix of prompts, read once.

        Args:
            tokens: Its tokens.
            texts: How many texts begin with it; each counts, if somebody counts tokens.
        """
        prefix = Prefix(0, DynamicCache(config=self._model.config))
        record = None if self._mixture is None else self._mixture.running.record
        with nullcontext() if record is None else record.counting(texts):
            self._run([tokens], [len(tokens)], [len(tokens) - 1], prefix)
        return Prefix(len(tokens), prefix.cache)

    def follow(self, texts: Sequence[Text], prefix: Prefix = NOTHING) -> None:
        """Read texts that begin with a prefix, for what listens to a mixture."""
        rows = [text.tokens[prefix.tokens :] for text in texts]
        self._run(rows, [text.prompt for text in texts], [0], _copied(prefix, len(texts)))

    def logits(self, texts: Sequence[Text], prefix: Prefix = NOTHING) -> list[Tensor]:
        """Return the logits at the places of texts that begin with a prefix.

        Args:
            texts: The texts, the prefix included, which is no longer than the front of each.
            prefix: What they begin with.

        Returns:
            For each text, shape ``(its places, vocabulary)``.
        """
        kept = sorted({place - prefix.tokens for text in texts for place in text.places})
        column = {place: number for number, place in enumerate(kept)}
        rows = [text.tokens[prefix.tokens :] for text in texts]
        found = self._run(rows, [text.prompt for text in texts], kept, _copied(prefix, len(texts)))
        chosen = [[column[place - prefix.tokens] for place in text.places] for text in texts]
        return [logits[columns] for logits, columns in zip(found, chosen, strict=True)]

    @torch.no_grad()
    def _run(
        self, rows: Sequence[Sequence[int]], prompts: Sequence[int], kept: list[int], past: Prefix
    ) -> Tensor:
        """Return the logits of some columns, shape ``(batch, len(kept), vocabulary)``."""
        device = self._model.device
        ids, mask = side_by_side(rows, 0, "right")
        told = dict(self._counted(past, mask) if past.cache is None else self._behind(past, mask))
        if "logits_to_keep" in self._takes:
            told["logits_to_keep"] = torch.tensor(kept, device=device)
        with self._attending, self._said(prompts, past.tokens + ids.shape[1]):
            logits: Tensor = self._model(ids.to(device), **told).logits
        self.tokens += int(mask.sum())
        return logits if logits.shape[1] == len(kept) else logits[:, kept]

    def _counted(self, past: Prefix, mask: Tensor) -> Mapping[str, Any]:
        """Return what a mixture counts tokens by; no token sees padding, which is behind all."""
        if self._mixture is None or "attention_mask" not in self._takes:
            return {}
        before = torch.ones(len(mask), past.tokens, dtype=mask.dtype)
        return {"attention_mask": torch.cat([before, mask], dim=1).to(self._model.device)}

    def _behind(self, past: Prefix, mask: Tensor) -> Mapping[str, Any]:
        """Return the arguments of a forward on texts behind a prefix; ``mask`` is the texts'."""
        batch, time = mask.shape
        places = torch.arange(past.tokens, past.tokens + time).expand(batch, -1)
        return {
            str(self._cache): past.cache,
            "use_cache": True,
            "position_ids": places.to(self._model.device),
            **self._counted(past, mask),
        }

    def _said(self, prompts: Sequence[int], time: int) -> AbstractContextManager[None]:
        """Tell a mixture which tokens are prompts, so that no router sees an option."""
        mixture = self._mixture
        if mixture is None:
            return nullcontext()
        said: AbstractContextManager[None] = mixture.annotate(
            prompt_mask=first_tokens(prompts, time).to(self._model.device)
        )
        return said


def _copied(prefix: Prefix, rows: int) -> Prefix:
    """Return a prefix that may be read on from, in so many rows."""
    if prefix.cache is None:
        return prefix
    cache = copy.deepcopy(prefix.cache)
    cache.batch_repeat_interleave(rows)
    return Prefix(prefix.tokens, cache)


def _follows(mixture: Any) -> bool:
    """Return whether a mixture, if there is one, may read the front of a prompt by itself."""
    if mixture is None or mixture.gate is None:
        return True
    waits = "prompt_mask" in mixture.needs or isinstance(mixture.memory, Decisions)
    record = mixture.running.record
    return bool(mixture.gate.causal) and not waits and not (record and record.trace)


def _is_plain(config: Any) -> bool:
    """Return whether a model of this configuration keeps keys and values, and no other past."""
    if getattr(config.get_text_config(decoder=True), _CHUNKED, None) is not None:
        return False
    return all(type(layer) in _PLAIN for layer in DynamicCache(config=config).layers)
