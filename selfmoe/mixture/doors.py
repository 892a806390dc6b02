"""Doors by which others reach a model with a mixture, and what they find behind them.

A method that would lose the experts, or take an answer for the prompt, without a word is replaced
on the instance by one that does it rightly or refuses; ``detach`` puts all of them back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.forward.layers import RoutedDelta
from selfmoe.mixture.trainable import OURS, LearningDelta
from selfmoe.models.structure import stores_transposed

if TYPE_CHECKING:
    from selfmoe.mixture.runtime import Mixture

_BATCHING = ("generate_batch", "init_continuous_batching", "continuous_batching_context_manager")
_IGNORED = -100  # the label of tokens that carry no loss, for all trainers of transformers


def guard(mixture: Mixture) -> None:
    """Replace what would not do with a mixture what its name says."""
    model: Any = mixture.model
    for module in model.modules():
        if hasattr(module, "save_pretrained") and _experts_in(module):
            mixture.replace(module, "save_pretrained", Saving(mixture, module))
            if mixture.gate is not None and hasattr(module, "push_to_hub"):
                mixture.replace(module, "push_to_hub", Refusing(_unsaved(mixture)))
    if mixture.gate is None:
        return
    if kept := _kept(mixture):
        for name in _BATCHING:
            if hasattr(model, name):
                mixture.replace(model, name, Refusing(_unbatched(mixture, name, kept)))
    elif hasattr(model, "init_continuous_batching"):
        plain = model.init_continuous_batching
        mixture.replace(model, "init_continuous_batching", Unheard(mixture, plain))
    if "prompt_mask" in mixture.needs and hasattr(model, "generate"):
        mixture.replace(model, "generate", Prompting(mixture, model.generate))
    if mixture.needs & {"prompt_mask", "labels_at_inference"}:
        telling = Telling(mixture)
        before = model.register_forward_pre_hook(telling.begin, with_kwargs=True)
        after = model.register_forward_hook(telling.end, always_call=True)
        mixture.on_detach(before.remove)
        mixture.on_detach(after.remove)


class Refusing:
    """A method that always refuses.

    Args:
        why: What it says.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse.

        Raises:
            NotSupportedError: Always.
        """
        raise NotSupportedError(self._why)


def _unsaved(mixture: Mixture) -> str:
    return (
        f"router '{mixture.composition.composer}' weighs its experts while the model runs, and a "
        "model that save_pretrained writes has no place for them: it would load as the base alone\n"
        "  selfmoe.save_mixture(model, folder) keeps router and experts, and "
        "selfmoe.load_mixture(base, folder) puts them on the base again; model.mixture.detach() "
        "gives back the base, which can be saved."
    )


def _kept(mixture: Mixture) -> str | None:
    """Return what a router cannot do without and rows that come and go do not bring along."""
    if "labels_at_inference" in mixture.needs:
        return "is told the domain of each row of a batch"
    if mixture.gate.site == "sequence":
        return "keeps its decision on each prompt with the KV cache"
    if mixture.gate.reads == "base_final_hidden":
        return "keeps a cache of the base alone with the KV cache"
    return None


def _unbatched(mixture: Mixture, method: str, kept: str) -> str:
    return (
        f"{method}: router '{mixture.composition.composer}' {kept}, and cannot follow the rows of "
        "continuous batching, which come and go\n"
        "  Use generate with a batch of prompts, or a router that needs no such thing, as topk."
    )


# --- saving ---------------------------------------------------------------------------------------


class Saving:
    """``save_pretrained`` of a model with experts.

    Experts that always count fully are put into the weights that are written. With a router it
    refuses, unless a trainer calls it, who says whether this is the main process and wants to go on
    from what is written.

    Args:
        mixture: What is at work.
        module: The model, or a part of it that can be saved by itself.
    """

    def __init__(self, mixture: Mixture, module: Any) -> None:
        self._mixture, self._module = mixture, module
        self._plain: Callable[..., Any] = module.save_pretrained

    def __call__(
        self,
        save_directory: str | Path,
        is_main_process: bool | None = None,
        state_dict: dict[str, Tensor] | None = None,
        **options: Any,
    ) -> Any:
        """Save the model.

        Raises:
            NotSupportedError: If a router is at work and no trainer asks.
        """
        from selfmoe.mixture.portable import save_checkpoint

        mixture, main = self._mixture, is_main_process is not False
        whole = self._module is mixture.model
        if whole and is_main_process is not None and (mixture.gate is not None or self._learns()):
            if main:
                save_checkpoint(mixture.model, Path(save_directory), state_dict)
            return None
        if mixture.gate is not None:
            raise NotSupportedError(_unsaved(mixture))
        merged = _merged(self._module, state_dict)
        return self._plain(save_directory, is_main_process=main, state_dict=merged, **options)

    def _learns(self) -> bool:
        return any(isinstance(module, LearningDelta) for module in self._module.modules())


def _experts_in(module: nn.Module) -> bool:
    return any(isinstance(part, RoutedDelta) for part in module.modules())


@torch.no_grad()
def _merged(module: nn.Module, state: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Return a state dict with what static experts add put into the weights.

    Raises:
        NotSupportedError: If a weight is quantised.
    """
    state = dict(module.state_dict() if state is None else state)
    for name, layer in module.named_modules():
        for delta in layer.children():
            if isinstance(delta, RoutedDelta):
                key = f"{name}.weight"
                state[key] = _sum(key, state[key], delta, stores_transposed(layer))
    return {name: tensor for name, tensor in state.items() if not any(o in name for o in OURS)}


def _sum(name: str, weight: Tensor, delta: RoutedDelta, transposed: bool) -> Tensor:
    if not weight.is_floating_point():
        raise NotSupportedError(
            f"{name} is quantised ({weight.dtype}), and what experts add to it cannot be put into "
            "it; save the mixture with selfmoe.save_mixture(model, folder)"
        )
    exact = torch.promote_types(weight.dtype, torch.float32)
    added = delta.b.to(exact) @ delta.a.to(exact)
    return (weight.to(exact) + (added.t() if transposed else added).to(weight.device)).to(weight)


# --- what the prompt is ---------------------------------------------------------------------------


class Told:
    """A method of a model that asks what its mixture is told.

    Args:
        mixture: What is told.
        plain: The method.
    """

    def __init__(self, mixture: Mixture, plain: Callable[..., Any]) -> None:
        self._mixture, self._plain = mixture, plain

    @property
    def __signature__(self) -> Signature:
        return signature(self._plain)


class Unheard(Told):
    """``init_continuous_batching``, whose forwards run in a thread that nobody records."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Begin.

        Raises:
            NotSupportedError: If this thread records or annotates.
        """
        if self._mixture.heard:
            raise NotSupportedError(
                "continuous batching runs the model in a thread of its own, where record and "
                "annotate of this one do not hold; call it outside of them, or use generate"
            )
        return self._plain(*args, **options)


class Prompting(Told):
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


class Telling:
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
