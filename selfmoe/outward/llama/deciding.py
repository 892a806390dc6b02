"""What each expert weighs for a prompt, by our own copy of the base.

llama-server's embeddings are final hidden states, and no request gets what enters the first block.
For a gate that reads that, our copy needs its embedding matrix alone. For one that reads final
hidden states it reads the whole prompt, which the server then reads again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import LoadedBase
from selfmoe.kits.routers import find_decoder, watched
from selfmoe.mixture.handle import Mixture


class _ReadError(Exception):
    """All that is asked of a forward is known."""


class Decider:
    """Weighs the experts of a system for whole prompts.

    Args:
        base: The base, with the system on it.
        system: Its name.

    Raises:
        NotSupportedError: If the weights differ from token to token, or are in the base's weights.
    """

    def __init__(self, base: LoadedBase, system: str) -> None:
        mixture: Any = getattr(base.model, "mixture", None)
        _check(mixture, system)
        self.experts: tuple[str, ...] = mixture.experts if mixture is not None else ()
        self._gate: Any = None if mixture is None else mixture.gate
        if mixture is not None:
            mixture.detach()
        self._model: Any = base.model
        self._decoder = find_decoder(base.model, base.blocks)

    @torch.inference_mode()
    def weights(self, prompt: list[int]) -> dict[str, float]:
        """Return what each expert weighs for a prompt, by its name.

        Args:
            prompt: Its tokens.
        """
        if self._gate is None:
            return dict.fromkeys(self.experts, 1.0)
        ids = torch.tensor([prompt], device=self._model.device)
        told = TokenInfo(input_ids=ids, prompt_mask=torch.ones_like(ids, dtype=torch.bool))
        alpha: Tensor = self._gate(self._read(ids), Site(0), told)
        return dict(zip(self.experts, alpha[0, 0].tolist(), strict=True))

    def _read(self, ids: Tensor) -> Tensor:
        """Return what the gate reads, shape ``(1, time, width)``."""
        if self._gate.reads != "embedding":
            final: Tensor = self._decoder.stack(input_ids=ids, use_cache=False)[0]
            return final
        seen: list[Tensor] = []

        def stop(_: int, hidden: Tensor) -> None:
            seen.append(hidden)
            raise _ReadError

        with watched(self._decoder.blocks[:1], stop), suppress(_ReadError):
            self._decoder.stack(input_ids=ids, use_cache=False)
        return seen[0]


def _check(mixture: Mixture | None, system: str) -> None:
    """Refuse what one weight an adapter and request cannot express."""
    if mixture is None or getattr(mixture.gate, "site", None) == "sequence":
        return
    if mixture.gate is not None:
        raise NotSupportedError(
            f"'{system}' weighs its experts anew for tokens, and a llama-server knows one weight "
            "of an adapter for a whole request\n  Use a router there that decides once a prompt "
            "(selfmoe list-plugins says which). selfmoe export writes routers of tokens for "
            "transformers and vLLM, and selfmoe serve runs them itself."
        )
    if mixture.composition.composer != "expert":
        raise NotSupportedError(
            f"'{system}' is a merge, which needs no engine that chooses\n  selfmoe export --format "
            "gguf makes an adapter of it for llama-server --lora."
        )
