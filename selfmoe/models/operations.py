"""How many operations a base takes for a token, from the shapes in its files."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import NamedTuple

from selfmoe.models.checkpoints import CONFIG
from selfmoe.store.costs import Tokens

_FORWARD, _BACKWARD = 2, 2
"""Operations a weight and token: a product and a sum, and again for the activations' gradient.

Frozen weights have no gradient of their own.
"""


class Matrices(NamedTuple):
    """The weights of a base that tokens are multiplied with.

    Attributes:
        blocks: Of all matrices but the embedding and the output layer. Of a sparse base all
            experts are counted, whichever a token goes to.
        head: Of the output layer.
    """

    blocks: int
    head: int

    def operations(self, tokens: Tokens) -> float:
        """Return the floating-point operations of what was computed.

        Output layers are counted where every token needs one: not where texts are read. Attention
        and adapters come on top, a few percent on short texts.
        """
        whole = self.blocks + self.head
        forward = tokens.read * self.blocks + (tokens.written + tokens.learnt) * whole
        return float(_FORWARD * forward + _BACKWARD * tokens.learnt * whole)


def matrices_of(folder: Path) -> Matrices:
    """Return the weights of a base, from the headers of its files."""
    from safetensors import safe_open

    rows = _vocabulary(folder)
    blocks, tables = 0, []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                shape = tensors.get_slice(name).get_shape()
                if len(shape) > 1 and shape[0] == rows:
                    tables.append(prod(shape))
                elif len(shape) > 1:
                    blocks += prod(shape)
    return Matrices(blocks, max(tables, default=0))


def _vocabulary(folder: Path) -> int | None:
    """Return how many rows the embedding has; a model of several parts says it of its text part."""
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    size: int | None = config.get("vocab_size", config.get("text_config", {}).get("vocab_size"))
    return size
