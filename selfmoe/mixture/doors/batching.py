"""Continuous batching: rows come and go, in a thread of their own."""

from __future__ import annotations

from typing import Any

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.doors.methods import Refusal, Replacement
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.surgery import Surgery

_METHODS = ("generate_batch", "init_continuous_batching", "continuous_batching_context_manager")


def guard_batching(mixture: Mixture, surgery: Surgery) -> None:
    """Refuse continuous batching where a router cannot follow it, or somebody listens.

    Args:
        mixture: A routed one.
        surgery: Changes the model.
    """
    model: Any = mixture.model
    if needed := _needed(mixture):
        for name in _METHODS:
            if hasattr(model, name):
                surgery.method(model, name, Refusal(_unbatched(mixture, name, needed)))
    elif hasattr(model, "init_continuous_batching"):
        plain = model.init_continuous_batching
        surgery.method(model, "init_continuous_batching", ContinuousBatching(mixture, plain))


class ContinuousBatching(Replacement):
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


def _needed(mixture: Mixture) -> str | None:
    """Return what a router cannot do without and rows that come and go do not bring along."""
    if "labels_at_inference" in mixture.needs:
        return "is told the domain of each row of a batch"
    kept = mixture.memory.keeps
    return f"keeps {kept} with the KV cache" if kept else None


def _unbatched(mixture: Mixture, method: str, needed: str) -> str:
    return (
        f"{method}: router '{mixture.composition.composer}' {needed}, and cannot follow the rows "
        "of continuous batching, which come and go\n"
        "  Use generate with a batch of prompts, or a router that needs no such thing, as topk."
    )
