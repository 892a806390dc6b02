"""What the prompt is: ``generate`` says it of its own tokens, and labels say it while training."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.doors.methods import Replacement
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.surgery import Surgery

_IGNORED = -100  # the label of tokens that carry no loss, for all trainers of transformers


def guard_prompts(mixture: Mixture, surgery: Surgery) -> None:
    """Tell a router that decides from the prompt what that is, wherever it can be known.

    Args:
        mixture: A routed one.
        surgery: Changes the model.
    """
    model: Any = mixture.model
    if "prompt_mask" in mixture.needs and hasattr(model, "generate"):
        surgery.method(model, "generate", Generate(mixture, model.generate))
    if mixture.needs & {"prompt_mask", "labels_at_inference"}:
        labels = PromptFromLabels(mixture)
        before = model.register_forward_pre_hook(labels.begin, with_kwargs=True)
        after = model.register_forward_hook(labels.end, always_call=True)
        surgery.on_undo(before.remove)
        surgery.on_undo(after.remove)


class Generate(Replacement):
    """``generate`` that says which tokens are the prompt: those it is given."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Generate.

        Raises:
            NotSupportedError: If the prompt shall be read in parts.
        """
        name = self._mixture.composition.composer
        settings = options.get("generation_config") or self._mixture.model.generation_config
        if options.get("prefill_chunk_size", getattr(settings, "prefill_chunk_size", None)):
            raise NotSupportedError(
                f"router '{name}' decides from the whole prompt before the first token is routed; "
                "it cannot read it in chunks (prefill_chunk_size)"
            )
        named = [options.get(name) for name in ("inputs", "input_ids", "inputs_embeds")]
        tokens = next((t for t in (*args[:1], *named) if isinstance(t, Tensor)), None)
        if tokens is None or self._known(options.get("past_key_values")):
            return self._plain(*args, **options)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        with self._mixture.annotate(prompt_mask=mask):
            return self._plain(*args, **options)

    def _known(self, cache: Any) -> bool:
        """Return whether the prompt has been said, or decided upon."""
        said = self._mixture.said
        length = getattr(cache, "get_seq_length", lambda: 0)()
        return said.prompt_mask is not None or length > 0


class Open(threading.local):
    """The annotations that have begun in this thread."""

    def __init__(self) -> None:
        self.stacks: list[ExitStack] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Open:
        """Return that of a copied model, in which nothing runs."""
        return Open()

    def __reduce__(self) -> tuple[type[Open], tuple[()]]:
        return Open, ()


class PromptFromLabels:
    """Lets a forward take tokens without a label, before the first with one, for the prompt.

    These are hooks, since trainers put forwards of their own in the place of a model's.

    Args:
        mixture: What is told.
    """

    def __init__(self, mixture: Mixture) -> None:
        self._mixture, self._open = mixture, Open()

    def begin(self, model: nn.Module, args: Any, inputs: dict[str, Any]) -> None:
        """Say what the labels show.

        Raises:
            NotSupportedError: If the router is not told what it decides by.
        """
        labels, mixture, stack = inputs.get("labels"), self._mixture, ExitStack()
        self._open.stacks.append(stack)  # ``end`` comes whatever happens here
        if labels is not None:
            if "labels_at_inference" in mixture.needs and mixture.said.domain is None:
                _check_unlearnt(mixture)
            if "prompt_mask" in mixture.needs and mixture.said.prompt_mask is None:
                mask = _prompts(labels, inputs, mixture)
                stack.enter_context(mixture.annotate(prompt_mask=mask))

    def end(self, model: nn.Module, args: Any, output: Any) -> None:
        """Say it no longer."""
        if self._open.stacks:
            self._open.stacks.pop().close()


def _check_unlearnt(mixture: Mixture) -> None:
    parts = (module for module in mixture.model.modules() if isinstance(module, RoutedDelta))
    if torch.is_grad_enabled() and any(part.learns() for part in parts):
        raise NotSupportedError(
            f"router '{mixture.composition.composer}' is told the domain of each row, which "
            "trainers do not say: no expert would learn anything. Run the forwards within "
            "model.mixture.annotate(domain=…)"
        )


def _prompts(labels: Tensor, inputs: dict[str, Any], mixture: Mixture) -> Tensor:
    """Return True on the tokens before the first one with a label, shape ``(batch, time)``."""
    prompt = (labels != _IGNORED).cumsum(-1) == 0
    mask, places = inputs.get("attention_mask"), inputs.get("position_ids")
    real = prompt if mask is None or mask.dim() != 2 else prompt & mask.bool()
    packed = mask is None and places is not None and bool((places.diff(dim=-1) < 0).any())
    if packed or not bool(real.any(-1).all()):
        why = "several texts lie in one row" if packed else "some rows have a label on every token"
        raise NotSupportedError(
            f"router '{mixture.composition.composer}' decides from the prompt, and it cannot be "
            f"told what that is: {why}. Label the tokens of prompts {_IGNORED}, one text a row, as "
            "trainers do that learn from completions only; or run the forwards within "
            "model.mixture.annotate(prompt_mask=…)"
        )
    return prompt
