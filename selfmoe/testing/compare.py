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
    assert set(a.tensors) == set(b.tensors)
    for name, tensor in a.tensors.items():
        assert tensor.dtype == b.tensors[name].dtype
        assert torch.equal(tensor, b.tensors[name]), name
    assert set(a.owned) == set(b.owned)
    for name, path in a.owned.items():
        mine, other = factors_of(Expert(name, path)), factors_of(Expert(name, b.owned[name]))
        for site, factors in mine.items():
            assert torch.equal(factors.a, other[site].a)
            assert torch.equal(factors.b, other[site].b)


def assert_close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    """Fail unless ``max|a - b| / max|b|`` is below the tolerance."""
    error = float((a - b).abs().max() / b.abs().max())
    assert error < tolerance, f"relative error {error:.2e}"


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
