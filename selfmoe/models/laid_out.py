"""Weights that lie for a while as oneDNN reads them, which else sorts them for each product."""

from __future__ import annotations

from torch import nn

from selfmoe.models.products import Hastened

MOST = 2**30
"""Bytes of weights that are held a second time, at the most."""


class LaidOut:
    """Lets the weights of a model lie in the order of its products, as long as it is entered.

    Each is put in order when it is first multiplied with, which products of a few rows spend much
    of their time on; they give the same bits. Other weights, and changes that torch counts,
    are seen; values must not be written through ``.data`` meanwhile.

    Args:
        model: Anything; nothing changes for what is no module, is not multiplied with by oneDNN
            (see ``selfmoe.models.products.hasten``), or is larger than ``MOST``.
    """

    def __init__(self, model: object) -> None:
        modules = list(model.modules()) if isinstance(model, nn.Module) else []
        linears = [one for one in modules if type(one) is nn.Linear]
        found = [one for one in linears if isinstance(vars(one).get("forward"), Hastened)]
        fits = sum(one.weight.nbytes for one in found) <= MOST
        self._layers: list[Hastened] = [vars(one)["forward"] for one in found] if fits else []

    def __enter__(self) -> None:
        """Begin."""
        for layer in self._layers:
            layer.keep(1)

    def __exit__(self, *_: object) -> None:
        """End; orders are forgotten when nobody else has entered with the same model."""
        for layer in self._layers:
            layer.keep(-1)
