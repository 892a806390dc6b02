"""Telling whether models, folders and compositions are equal; what contracts compare by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.adapters import Factors, factors_of
from selfmoe.mixture.storage import model_hash
from selfmoe.models.structure import linears, stores_transposed

_HIDDEN = {"_output_capturing_hooks_installed"}  # set by transformers' own forward


def assert_same(a: Composition, b: Composition) -> None:
    """Fail unless two compositions are equal bit for bit, wherever their files lie."""
    assert (a.composer, a.options, a.report) == (b.composer, b.options, b.report)
    assert [(r.name, r.hash) for r in a.experts] == [(r.name, r.hash) for r in b.experts]
    _assert_equal(dict(a.tensors), dict(b.tensors))
    assert set(a.owned) == set(b.owned)
    for name, path in a.owned.items():
        mine, other = factors_of(Expert(name, path)), factors_of(Expert(name, b.owned[name]))
        for kind in ("a", "b"):
            _assert_equal(
                {f"{name}, {site}.{kind}": getattr(one, kind) for site, one in mine.items()},
                {f"{name}, {site}.{kind}": getattr(one, kind) for site, one in other.items()},
            )


def _assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """Fail unless tensors of the same names are equal bit for bit; names the one that is not."""
    assert set(a) == set(b)
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def assert_close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    """Fail unless ``max|a - b| / max|b|`` is at most the tolerance.

    Args:
        a: Tensor of any shape.
        b: What it should be, of the same shape.
        tolerance: Largest relative error.

    Raises:
        AssertionError: Naming the place that differs most, for instance a token.
    """
    largest = tolerance * float(b.abs().max())
    torch.testing.assert_close(a, b, rtol=0, atol=largest, check_dtype=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Return what every file below a folder holds, by its path within the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """Return everything about a model that must not change: weights, structure, state."""
    config: Any = getattr(model, "config", None)
    return {
        "weights": model_hash(model),
        "structure": structure(model),
        "training": [name for name, module in model.named_modules() if module.training],
        "learning": [name for name, p in model.named_parameters() if p.requires_grad],
        "config": config.to_json_string() if config is not None else "",
    }


def structure(model: nn.Module) -> list[tuple[str, str, list[str]]]:
    """Return every module's name, class, attributes and hooks."""
    return [
        (name, str(id(type(m))), sorted(set(vars(m)) - _HIDDEN) + sorted(m._buffers) + _hooks(m))
        for name, m in model.named_modules()
    ]


def _hooks(module: nn.Module) -> list[str]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs")
    return [f"{kind}:{len(getattr(module, kind))}" for kind in kinds]


def tokens() -> Tensor:
    """Return some token ids, shape ``(2, 12)``."""
    return torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(7))


def logits(model: Any, ids: Tensor) -> Tensor:
    """Return a model's logits, shape ``(batch, time, vocabulary)``."""
    with torch.no_grad():
        found: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return found


def with_deltas(model: nn.Module, *experts: Mapping[str, Factors], weight: float = 1.0) -> Any:
    """Return a copy of a model to whose weights ``weight`` times each expert's delta is added."""
    import copy

    changed = copy.deepcopy(model)
    layers = linears(changed)
    for site, factors in (pair for expert in experts for pair in expert.items()):
        matrix: Any = layers[site].weight
        delta = weight * factors.delta().to(matrix)
        matrix.data += delta.T if stores_transposed(layers[site]) else delta
    return changed
