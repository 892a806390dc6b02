"""A mixture in a folder of its own: router and experts as they are now, but not the base.

The folder is a stored composition that brings its experts along, as PEFT adapter folders.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.contracts.records import Composition, ExpertRef
from selfmoe.mixture import storage
from selfmoe.mixture.adapters import CONFIG, Factors, adapter_hash, write_factors
from selfmoe.mixture.handle import Mixture, mixture_of
from selfmoe.mixture.names import OURS
from selfmoe.mixture.trainable import LearningDelta, deltas_of

EXPERTS = "experts"
_WEIGHTS = "model.safetensors"


def save_mixture(model: nn.Module, folder: str | Path) -> Path:
    """Write a mixture to a folder, trained parts as they are now; the base is not written.

    Args:
        model: A model that a mixture is attached to.
        folder: Where to; may exist. ``experts/<name>`` in it are PEFT adapter folders.

    Returns:
        The folder, for ``load_mixture``.

    Raises:
        CompositionError: If the model carries no mixture, or an expert's folder is not there any
            more, or has changed.
        NotSupportedError: If there is nothing to keep apart from the weights.
    """
    mixture, folder = mixture_of(model), Path(folder)
    if not deltas_of(model):
        raise NotSupportedError(
            f"'{mixture.composition.composer}' has merged its experts into the weights; "
            "model.save_pretrained(folder) saves all of it"
        )
    with tempfile.TemporaryDirectory(prefix="selfmoe-") as room:
        composition = _as_it_is(mixture, Path(room), folder)
        storage.write_composition(composition, folder, base_hash=base_hash(model))
    return folder


def base_hash(model: nn.Module) -> str:
    """Return ``storage.model_hash`` of a model without what a mixture has added to it."""
    return storage.model_hash(model, lambda name: not any(ours in name for ours in OURS))


def save_checkpoint(model: nn.Module, folder: Path, state: Mapping[str, Tensor] | None) -> None:
    """Write what a trainer goes on from: the mixture, and what can have been changed as weights.

    The weights go by their names in the model's state dict, into which trainers load them again.

    Args:
        model: A model that a mixture is attached to.
        folder: Where to; may exist.
        state: The state dict, if the trainer has gathered it; its tensors have the shapes of the
            model's parameters.

    Raises:
        CompositionError: If the model carries no mixture, or an expert cannot be written.
        NotSupportedError: If there is nothing to keep apart from the weights.
    """
    save_mixture(model, folder)
    opened = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    learnt = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in (model.state_dict() if state is None else state).items()
        if name in opened or any(ours in name for ours in OURS)
    }
    save_file(learnt, folder / _WEIGHTS, {"format": "pt"})


# --- a composition as it is now -------------------------------------------------------------------


def _as_it_is(mixture: Mixture, room: Path, folder: Path) -> Composition:
    """Return the composition with what was learnt since, ready to be stored in a folder.

    Args:
        mixture: The mixture.
        room: Where to write adapters that the composition owns.
        folder: Where it will be stored; experts that it was made from are written there.
    """
    before = mixture.composition
    owned = {name: _write(mixture, name, room / str(i)) for i, name in enumerate(before.owned)}
    refs = []
    for ref in before.experts:
        if ref.name in owned:
            path, now = folder / "adapters" / ref.name, owned[ref.name]
        else:
            path = folder / EXPERTS / storage.as_part(ref.name)
            now = _copied(_write(mixture, ref.name, room / "made from" / ref.name), path)
        refs.append(ExpertRef(ref.name, adapter_hash(now), str(path.absolute())))
    return replace(before, experts=tuple(refs), owned=owned, tensors=_tensors(mixture))


def _tensors(mixture: Mixture) -> Mapping[str, Tensor]:
    """Return the composition's tensors, those that are parameters of the gate as they are now."""
    before = mixture.composition.tensors
    now = {} if mixture.gate is None else dict(mixture.gate.named_parameters())
    if unknown := sorted(set(now) - set(before)):
        raise NotSupportedError(
            f"router '{mixture.composition.composer}' keeps parameters that are no tensors of its "
            f"composition ({', '.join(unknown)}); they would be lost"
        )
    return {name: now.get(name, tensor).detach() for name, tensor in before.items()}


def _write(mixture: Mixture, name: str, folder: Path) -> Path:
    """Write an expert as it is now to a folder that is new."""
    source, learnt = source_of(mixture, name), _learnt(mixture, name)
    if learnt:
        return write_factors(folder, learnt, like=source)
    expected = {ref.name: ref.hash for ref in mixture.composition.experts}.get(name)
    if name not in mixture.composition.owned and adapter_hash(source) != expected:
        raise CompositionError(
            f"expert '{name}' cannot be written: {source} is not what was composed any more; put "
            "that back, or compose anew"
        )
    return _copied(source, folder)


def _learnt(mixture: Mixture, name: str) -> dict[str, Factors]:
    """Return what an expert adds to each layer now, or nothing unless experts are trained."""
    if name not in mixture.experts:
        return {}  # something else was made from it
    number = mixture.experts.index(name)
    return {
        site: delta.factors(number)
        for site, delta in deltas_of(mixture.model).items()
        if isinstance(delta, LearningDelta) and number in dict(delta.layout)
    }


def _copied(source: Path, folder: Path) -> Path:
    """Copy the files of an adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        if file.suffix in {".json", ".safetensors"} and file.is_file():
            shutil.copyfile(file, folder / file.name)
    return folder


def source_of(mixture: Mixture, name: str) -> Path:
    """Return the folder that an expert was read from.

    Raises:
        CompositionError: If it is not there any more.
    """
    made = mixture.composition
    path = made.owned.get(name) or next(Path(r.path) for r in made.experts if r.name == name)
    if not (path / CONFIG).is_file():
        raise CompositionError(
            f"expert '{name}' cannot be written: {path} is not there any more; put it back"
        )
    return path
