"""A model of lm-eval: any of its tasks on any system of a run.

Importing this registers it as ``selfmoe``; ``selfmoe lm-eval`` does so and hands over to lm-eval,
whose own list of models has no entry point for others.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from lm_eval.api.registry import register_model

from selfmoe.contracts.paths import expand
from selfmoe.contracts.randomness import derive
from selfmoe.evaluation.harness import HarnessModel
from selfmoe.models.asking import chat_in
from selfmoe.models.generation import Sampling, generate
from selfmoe.outward.opening import open_run
from selfmoe.outward.serve.prompts import encoded
from selfmoe.outward.serve.systems import Systems

LOG = logging.getLogger("selfmoe.lm_eval")
_LONGEST = 256
"""New tokens where a task does not say; lm-eval's own number."""


@register_model("selfmoe")
class SelfmoeModel(HarnessModel):
    """A system of a run, for lm-eval.

    Prompts are encoded as in training, and answers are written by the engine of `generate`: where a
    task asks for no sampling they are the tokens that the server writes.

    Args:
        run: The run's folder.
        system: The system; default: the only one that routes.
        seed: Root seed of the pipeline; default: the run's first.
        device: Where to put it; lm-eval names its own default, which counts where it is there.
        dtype: Number format of the base; default: as the run's settings say.
        batch_size: Texts a forward pass.
        max_length: Longest prompt and answer; default: as much as the base reads.
        max_batch_size: Not used.

    Raises:
        RunError: If the folder holds no finished run, or the system must be named.
        UnknownNameError: If the run has no such system.
    """

    def __init__(
        self,
        run: str,
        system: str | None = None,
        *,
        seed: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 16,
        max_length: int | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        opened = open_run(expand(run), seed, device=_here(device), dtype=dtype)
        systems = Systems(opened, opened.load_base())
        name = systems.default() if system is None else systems.named(system)
        base = systems.load(name)
        self._asked = {"run": systems.name, "system": name, "base": base.name, "hash": base.hash}
        self._base = base
        context = min(base.context, int(max_length or base.context))
        size = int(batch_size) if str(batch_size).isdigit() else 16
        super().__init__(base.model, base.tokenizer, batch_size=size, context=context)

    def get_model_info(self) -> dict[str, Any]:
        """Return what the results say of the model."""
        return {f"selfmoe_{key}": value for key, value in self._asked.items()}

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation in the chat template of the base, if the run asks in that.

        Raises:
            DataError: If it has none, or it refuses.
        """
        self.chat = chat_in(self._base) or self.chat
        return str(super().apply_chat_template(chat_history, add_generation_prompt))

    def _write(self, prompts: list[str], settings: Mapping[str, Any]) -> list[str]:
        """Return the continuations of prompts; those that are too long lose their beginning."""
        new = int(settings.get("max_gen_toks") or _LONGEST)
        until = settings.get("until") or ()
        stop = (until,) if isinstance(until, str) else tuple(until)
        way = _way(settings)
        found = generate(
            self.model,
            self.tokenizer,
            [self._prompt(self._cut(prompt, new)) for prompt in prompts],
            max_new_tokens=new,
            stop=tuple(string for string in stop if string),
            ends=() if self.chat is None else (self.chat.end,),
            sampling=way,
            seeds=[derive(0, number) for number in range(len(prompts))] if way else (),
            batch_size=self.batch_size,
        )
        return [continuation.text for continuation in found]

    def _cut(self, prompt: str, new: int) -> str:
        room = self.max_length - new
        ids = encoded(self._prompt(prompt), self._base, 2**62, 1)
        if len(ids) <= room:
            return prompt
        LOG.warning("a prompt of %d tokens loses all but its last %d", len(ids), room)
        return str(self.tokenizer.decode(ids[-room:]))


def _here(device: str | None) -> str | None:
    """Return a device, unless it is the default of lm-eval and this machine lacks it."""
    lacking = device == "cuda:0" and not torch.cuda.is_available()
    return None if lacking else device


def _way(settings: Mapping[str, Any]) -> Sampling | None:
    """Return how a task wants tokens to be drawn; ``None``: the likeliest."""
    heat = float(settings.get("temperature") or 0)
    if not settings.get("do_sample", heat > 0):
        return None
    return Sampling(heat or 1.0, float(settings.get("top_p") or 1.0))
