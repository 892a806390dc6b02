"""What takes the place of a model's methods."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
from typing import Any

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.handle import Mixture


class Refusal:
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


class Replacement:
    """A method of a model that goes by what its mixture is told; its signature is the same.

    Args:
        mixture: What is told.
        plain: The method.
    """

    def __init__(self, mixture: Mixture, plain: Callable[..., Any]) -> None:
        self._mixture, self._plain = mixture, plain

    @property
    def __signature__(self) -> Signature:
        return signature(self._plain)
