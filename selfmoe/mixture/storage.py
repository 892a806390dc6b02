"""Compositions on disk: ``composition.json``, ``tensors.safetensors`` and the adapters they own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Composition, Expert, ExpertRef
from selfmoe.mixture.adapters import CONFIG, WEIGHTS, adapter_hash
from selfmoe.store.files import sha256, write_json

FORMAT = 1
FACTS = "composition.json"
TENSORS = "tensors.safetensors"


def references(experts: Mapping[str, Expert]) -> tuple[ExpertRef, ...]:
    """Return how a composition names the experts it is made from, in gate order."""
    return tuple(map(reference, experts.values()))


def reference(expert: Expert) -> ExpertRef:
    """Return how a composition names an expert: name, hash, path.

    Raises:
        CompositionError: If its adapter cannot be read.
    """
    return ExpertRef(expert.name, adapter_hash(expert.path), str(expert.path.resolve()))


def write_composition(composition: Composition, folder: Path, *, base_hash: str) -> None:
    """Write a composition to a folder; paths of experts nearby are kept relative to it.

    Args:
        composition: What to write.
        folder: Where to; may exist.
        base_hash: Hash of the base it was made on; ``read_composition`` asks for it again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {n: t.detach().cpu().contiguous() for n, t in composition.tensors.items()}
    save_file(tensors, folder / TENSORS)
    for name, path in composition.owned.items():
        target = folder / "adapters" / as_part(name)
        target.mkdir(parents=True, exist_ok=True)
        for file in (CONFIG, WEIGHTS):
            shutil.copyfile(path / file, target / file)
    facts = {
        "format": FORMAT,
        "composer": composition.composer,
        "options": dict(composition.options),
        "base": base_hash,
        "experts": [
            {"name": ref.name, "hash": ref.hash, "path": _relative(Path(ref.path), folder)}
            for ref in composition.experts
        ],
        "owned": {name: adapter_hash(path) for name, path in composition.owned.items()},
        "tensors": sha256(folder / TENSORS),
        "report": dict(composition.report),
    }
    write_json(folder / FACTS, facts)


def expert_names(folder: Path) -> list[str]:
    """Return the names of the experts of a stored composition, in gate order; nothing is checked.

    Raises:
        CompositionError: If it is damaged.
    """
    facts = _read(folder)
    return [*(row["name"] for row in facts["experts"]), *facts["owned"]]


def read_composition(
    folder: Path, *, base_hash: str, experts: Mapping[str, Expert] | None = None
) -> Composition:
    """Return the composition that ``write_composition`` wrote.

    Args:
        folder: Where it is.
        base_hash: Hash of the base it shall be used on.
        experts: The experts it shall be used with, in gate order; ``None`` takes those it names.

    Raises:
        CompositionError: If it is damaged, was made on another base, or from other experts, or
            from these in another order.
    """
    facts = _read(folder)
    if facts["base"] != base_hash:
        raise CompositionError(
            f"{folder} was composed on base {facts['base']}, not on {base_hash}; compose it anew"
        )
    refs = tuple(
        ExpertRef(row["name"], row["hash"], os.path.normpath(folder.absolute() / row["path"]))
        for row in facts["experts"]
    )
    if experts is not None:
        refs = _located(folder, refs, experts)
    for ref in refs:
        _check_hash(f"{folder}: expert '{ref.name}'", Path(ref.path), ref.hash)
    owned = {name: folder / "adapters" / as_part(name) for name in facts["owned"]}
    for name, expected in facts["owned"].items():
        _check_hash(f"{folder}: adapter '{name}'", owned[name], expected)
    if sha256(folder / TENSORS) != facts["tensors"]:
        raise CompositionError(f"{folder / TENSORS} is damaged: it is not what was written")
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise CompositionError(f"{folder / TENSORS} is damaged: {error}") from None
    return Composition(facts["composer"], facts["options"], refs, tensors, owned, facts["report"])


def model_hash(model: nn.Module, counts: Callable[[str], bool] = lambda name: True) -> str:
    """Return 10 hex digits over the names, types and values of a model's weights.

    Args:
        model: The model.
        counts: Whether the tensor of a name does; by default all do.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not counts(name):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:10]


def _read(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        version = facts["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CompositionError(f"{folder} holds no composition: {FACTS}: {error}") from None
    if version != FORMAT:
        raise CompositionError(f"{folder} has format {version}, this selfmoe reads {FORMAT}")
    return dict(facts)


def _located(
    folder: Path, refs: tuple[ExpertRef, ...], experts: Mapping[str, Expert]
) -> tuple[ExpertRef, ...]:
    stored, given = [ref.name for ref in refs], list(experts)
    if stored != given:
        order = "in another order" if sorted(stored) == sorted(given) else "from other experts"
        raise CompositionError(
            f"{folder} was composed {order}: {', '.join(stored)}; given: {', '.join(given)}"
        )
    return tuple(ExpertRef(r.name, r.hash, str(experts[r.name].path.resolve())) for r in refs)


def _check_hash(what: str, path: Path, expected: str) -> None:
    if not path.is_dir():
        raise CompositionError(f"{what} is missing: there is no folder {path}")
    found = adapter_hash(path)
    if found != expected:
        raise CompositionError(
            f"{what} has changed since ({found} instead of {expected}, {path}); compose it anew"
        )


def _relative(path: Path, folder: Path) -> str:
    """Return a path relative to a folder if both lie below a common folder, else absolute."""
    path, folder = path.absolute(), folder.absolute()
    common = Path(os.path.commonpath([path, folder]))
    if common == Path(common.anchor):
        return str(path)
    return Path(os.path.relpath(path, folder)).as_posix()


def as_part(name: str) -> str:
    """Return the name of an adapter if it can be that of a folder.

    Raises:
        CompositionError: If it cannot.
    """
    if not name or name in {".", ".."} or set(name) & set("/\\:"):
        raise CompositionError(f"adapter name {name!r} cannot be the name of a folder")
    return name
