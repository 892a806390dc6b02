"""What a mixture is told of the rows that a forward reads, and what it tells of their routing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from selfmoe.contracts.errors import DataError, NotSupportedError, unknown_name
from selfmoe.mixture.handle import Mixture
from selfmoe.outward.serve.asked import Asked


class Listening:
    """Tells a mixture what its rows want, and hears for them how they are routed.

    Args:
        mixture: The mixture.
    """

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture

    @contextmanager
    def __call__(self, rows: Sequence[Any], tokens: Sequence[int] | None) -> Iterator[None]:
        """Tell and hear, while a forward of these rows runs."""
        mixture, asked = self._mixture, list(rows)
        if mixture.gate is None:
            yield
            return
        switched = any(row.experts for row in asked)
        told: dict[str, Any] = {"factors": self._factors(asked)} if switched else {}
        if "labels_at_inference" in mixture.needs:
            told["domain"] = [row.domain for row in asked]
        with mixture.annotate(**told):
            if not any(row.traced for row in asked):
                yield
                return
            with mixture.listen(lambda real, weights: hear(asked, tokens, real, weights)):
                yield

    def _factors(self, rows: Sequence[Asked]) -> Tensor:
        """Return what the weights of each row's experts are multiplied by."""
        names = self._mixture.experts
        return torch.tensor([[row.experts.get(name, 1.0) for name in names] for row in rows])


def hear(
    rows: Sequence[Asked], tokens: Sequence[int] | None, real: Tensor | None, weights: Tensor
) -> None:
    """Give each row the routing of its own tokens.

    Args:
        rows: Those of the forward.
        tokens: How many tokens of each, from the first column on; ``None``: those that are real.
        real: True on these, shape ``(batch, time)``; ``None``: all are.
        weights: Shape ``(batch, time, blocks, n_experts)``.
    """
    for number, row in enumerate(rows):
        if not row.traced or row.ended:
            continue
        mine = weights[number]
        if tokens is not None:
            mine = mine[: tokens[number]]
        elif real is not None:
            mine = mine[real[number]]
        row.routes.append(mine)


def check_told(
    mixture: Mixture | None, system: str, experts: Sequence[str], domain: str | None, traced: bool
) -> None:
    """Refuse what a system cannot be told, or cannot tell.

    Args:
        mixture: That of the system.
        system: Its name.
        experts: Names of experts to switch.
        domain: Domain of the prompt, if somebody says it.
        traced: Whether routing is asked for.

    Raises:
        NotSupportedError: If it routes nothing and is asked for that.
        UnknownNameError: If it has no such expert.
        DataError: If it must be told a domain and is not, or is and need not be.
    """
    routed = mixture is not None and mixture.gate is not None
    if (experts or traced) and not routed:
        what = "experts to switch" if experts else "routing to trace"
        raise NotSupportedError(f"'{system}' has no {what}: it routes no tokens")
    known = () if mixture is None else mixture.experts
    for name in [*experts, *([] if domain is None else [domain])]:
        if name not in known:
            raise unknown_name("expert", name, known)
    needed = mixture is not None and "labels_at_inference" in mixture.needs
    if needed and domain is None:
        raise DataError(
            f"'{system}' must be told the domain of the prompt: give domain, one of "
            f"{', '.join(known)}"
        )
    if domain is not None and not needed:
        raise DataError(f"'{system}' does not use the domain of a prompt; leave domain out")
