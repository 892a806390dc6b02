"""What is known during one forward: the tokens, their labels, and what the gate has said.

A scope belongs to one forward of the model. It is handed to every block as an argument, so that
gradient checkpointing, which runs blocks again during backward, sees the scope of *its* forward
however many others have run since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from selfmoe.contracts.composer import TokenInfo
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.forward.caches import cache_of
from selfmoe.mixture.forward.companions import Companion, known_length
from selfmoe.mixture.forward.kernels.weights import Weights
from selfmoe.mixture.forward.record import Listener


@dataclass
class Scope:
    """One forward of the model.

    Attributes:
        info: Its tokens.
        record: Where routing is written down, if anywhere.
        past: How many tokens the cache held before; ``None`` if that cannot be told.
        running: False once the forward is over; what runs then is a recomputation.
        entry: Hidden states that enter the first block, shape ``(batch, time, width)``.
        base: Final hidden states of the base alone, of the same shape, for gates that read them.
        weights: Of a gate that is asked once a forward, or once a sequence; without graph.
        decided: Whether they were decided in an earlier forward.
        companion: What shall follow the cache.
        plain: Whether this is a pass of the base alone, with the experts off.
        factors: What the caller multiplies weights by, shape ``(batch, n_experts)``.
        retrieve: The first level of a gate that has two, see ``TwoLevelGate``.
    """

    info: TokenInfo
    record: Listener | None = None
    past: int | None = 0
    running: bool = True
    entry: Tensor | None = None
    base: Tensor | None = None
    weights: Weights | None = None
    decided: bool = False
    companion: Companion | None = None
    plain: bool = False
    factors: Tensor | None = None
    retrieve: Callable[[Tensor, TokenInfo], Tensor] | None = None

    def told(self) -> TokenInfo:
        """Return the tokens, once there are candidates for them, if the gate has two levels."""
        if self.retrieve is not None and self.info.candidates is None:
            read = self.entry if self.base is None else self.base
            assert read is not None
            with torch.no_grad():
                self.info = self.info._replace(candidates=self.retrieve(read, self.info))
        return self.info

    def weighed(self, alpha: Tensor) -> Tensor:
        """Return the weights of a gate as the caller wants them, shape ``(batch, time, n)``.

        Raises:
            NotSupportedError: If the gate does not say which row its weights belong to.
        """
        if self.factors is None:
            return alpha
        if alpha.dim() != 3 or alpha.shape[0] % len(self.factors):
            raise NotSupportedError(
                f"experts cannot be switched by row here: weights of shape {tuple(alpha.shape)} "
                f"for {len(self.factors)} rows"
            )
        beams = alpha.shape[0] // len(self.factors)
        return alpha * self.factors.to(alpha).repeat_interleave(beams, 0)[:, None]


class Annotation(NamedTuple):
    """What a caller says about the rows of a batch; see ``Mixture.annotate``.

    Attributes:
        prompt_mask: True on prompt tokens, shape ``(batch, time)``.
        domain: Label of each row.
        factors: What the weights of a row's experts are multiplied by, ``(batch, n_experts)``.
    """

    prompt_mask: Tensor | None = None
    domain: Sequence[str] | None = None
    factors: Tensor | None = None


def token_info(arguments: Mapping[str, Any], said: Annotation, owner: str = "") -> TokenInfo:
    """Return what is known of the tokens of a forward with these arguments.

    Args:
        arguments: Of the forward, by name: ``input_ids`` of shape ``(batch, time)`` or
            ``inputs_embeds`` of shape ``(batch, time, width)``, and more.
        said: What the caller says of the rows.
        owner: The mixture whose companions count where a cache does not.

    Raises:
        NotSupportedError: If it is said which tokens are the prompt, and the cache cannot tell
            where in the sequences the forward begins; or there is more than one cache.
    """
    ids, embeds = arguments.get("input_ids"), arguments.get("inputs_embeds")
    tokens = ids if ids is not None else embeds
    if tokens is None:
        return TokenInfo()
    given = arguments.get("attention_mask")
    mask = given if isinstance(given, Tensor) and given.dim() == 2 else None
    cache = cache_of(arguments)
    past = known_length(cache, owner)
    if past is None and said.prompt_mask is not None:
        raise NotSupportedError(
            f"which tokens are the prompt cannot be followed with {type(cache).__name__}: it does "
            "not tell how many tokens it holds. Leave prompt_mask out of annotate, or start with "
            "an empty cache while the mixture is attached"
        )
    return TokenInfo(
        input_ids=ids,
        attention_mask=_attend_to_themselves(given, past, tokens) if mask is None else mask,
        position_ids=_positions(arguments.get("position_ids"), mask, past, tokens),
        prompt_mask=_prompt_mask(said.prompt_mask, past, tokens),
        domain=_domains(said.domain, tokens.shape[0]),
    )


def _attend_to_themselves(masks: Any, past: int | None, tokens: Tensor) -> Tensor | None:
    """Return 1 for real tokens, shape ``(batch, time)``, from a mask of queries and keys.

    With a static cache, ``generate`` hands over such a mask, or several by kind of attention.
    Padding is what no token attends to, not even itself.
    """
    mask: Any = masks
    if isinstance(masks, Mapping):
        mask = masks.get("full_attention", next(iter(masks.values()), None))
    batch, time = tokens.shape[:2]
    if past is None or not (isinstance(mask, Tensor) and mask.dim() == 4):
        return None
    if mask.shape[-1] < past + time:
        return None
    itself: Tensor = mask[:, 0].diagonal(past, 1, 2)
    real = itself if itself.dtype == torch.bool else itself == 0
    return real.long().expand(batch, time)


def _positions(
    given: Tensor | None, mask: Tensor | None, past: int | None, tokens: Tensor
) -> Tensor | None:
    """Return the tokens' positions, shape ``(batch, time)``; padding on the left has none.

    ``None`` if nothing tells them.
    """
    batch, time = tokens.shape[:2]
    if given is not None:
        return given.expand(batch, time)
    if mask is not None:
        return (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -time:]
    if past is None:
        return None
    return torch.arange(past, past + time, device=tokens.device).expand(batch, time)


def _prompt_mask(mask: Tensor | None, past: int | None, tokens: Tensor) -> Tensor | None:
    """Return the window of the mask that the current tokens lie in; beyond it, all is response."""
    if mask is None or past is None:
        return None
    batch, time = tokens.shape[:2]
    window = torch.zeros(batch, time, dtype=torch.bool, device=tokens.device)
    known = mask[:, past : past + time].to(tokens.device, torch.bool)
    window[:, : known.shape[1]] = known.repeat_interleave(batch // mask.shape[0], 0)
    return window


def _domains(domain: Sequence[str] | None, batch: int) -> Sequence[str] | None:
    """Return one label a row, also where beams multiply the rows."""
    if domain is None:
        return None
    copies = batch // len(domain)
    return tuple(label for label in domain for _ in range(copies))
