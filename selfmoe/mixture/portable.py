"""A mixture in a folder of its own: router and experts as they are now, but not the base.

The folder is a stored composition that brings its experts along, as PEFT adapter folders.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save_file
from torch import Tensor, nn

from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.contracts.records import Composition, Expert, ExpertRef
from selfmoe.mixture import storage
from selfmoe.mixture.adapters import CONFIG, Factors, adapter_hash, factors_of, write_factors
from selfmoe.mixture.forward.kernels import AUTO, check_kernel
from selfmoe.mixture.runtime import HANDLE, Mixture, attach
from selfmoe.mixture.trainable import (
    OURS,
    LearningDelta,
    Trainable,
    check_trainable,
    deltas_of,
    open_parts,
)
from selfmoe.registry.registry import registry

EXPERTS = "experts"
WEIGHTS = "model.safetensors"


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
        storage.save(composition, folder, base_hash=base_hash(model))
    return folder


def load_mixture(
    base_model: nn.Module,
    folder: str | Path,
    *,
    in_place: bool = False,
    trainable: Trainable = None,
    blocks: str | None = None,
    kernel: str = AUTO,
    check: bool = True,
) -> nn.Module:
    """Return a base model with a mixture that ``save_mixture`` or a trainer's checkpoint wrote.

    Args:
        base_model: The base that it was composed on, in the same number format.
        folder: Where the mixture is.
        in_place: Change ``base_model`` instead of a copy; ``model.mixture.detach()`` undoes it.
        trainable: What is left open to training, as in ``selfmoe.compose``.
        blocks: Name of the list of decoder blocks, for models where it cannot be told.
        kernel: How routed layers compute, see ``selfmoe.mixture.forward.kernels``.
        check: Read two tokens with a cache and without, and refuse the mixture where they differ.

    Raises:
        CompositionError: If the folder holds no mixture, is damaged, or was made on another base.
        UnknownNameError: If nobody provides its router, or there is no such kernel or part.
        NotSupportedError: If the mixture has no such part to train.
    """
    check_kernel(kernel)
    check_trainable(trainable)
    if hasattr(base_model, HANDLE):
        raise CompositionError("the model carries a mixture already; detach it first")
    room = Room()
    composition = storage.load(_snapshot(Path(folder), room.path), base_hash=base_hash(base_model))
    composer = _composer(composition)
    model = base_model if in_place else copied(base_model)
    experts = {ref.name: Expert(ref.name, Path(ref.path)) for ref in composition.experts}
    mixture = attach(
        model, composer, composition, experts, blocks=blocks, kernel=kernel, check=check
    )
    mixture.keep_alive = room
    put_to_use(mixture, trainable)
    return model


def copied(model: nn.Module) -> nn.Module:
    """Return a copy of a model, which shares nothing with it.

    Raises:
        CompositionError: If its forward was replaced by one that holds on to the model itself, as
            TRL's trainers do; that of the copy would run the original.
    """
    forward: Any = vars(model).get("forward")
    cells = getattr(getattr(forward, "__func__", forward), "__closure__", None) or ()
    held = (getattr(cell.cell_contents, "__self__", cell.cell_contents) for cell in cells)
    if any(isinstance(one, nn.Module) for one in held):
        raise CompositionError(
            f"the forward of the {type(model).__name__} was replaced, as TRL's trainers do, by one "
            "that would run this model in the place of its copy; save it and load it again, or "
            "give in_place=True"
        )
    return copy.deepcopy(model)


def put_to_use(mixture: Mixture, trainable: Trainable) -> None:
    """Freeze a model that a mixture was attached to, but for what is named.

    Raises:
        NotSupportedError: If the mixture has no such part; the model is as before then.
    """
    try:
        wanted = "experts" in check_trainable(trainable) and deltas_of(mixture.model)
        open_parts(mixture, trainable, _factors(mixture) if wanted else {})
    except BaseException:
        mixture.detach()
        raise


def base_hash(model: nn.Module) -> str:
    """Return ``storage.model_hash`` of a model without what a mixture has added to it."""
    return storage.model_hash(model, lambda name: not any(ours in name for ours in OURS))


def save_checkpoint(model: nn.Module, folder: Path, state: Mapping[str, Tensor] | None) -> None:
    """Write what a trainer goes on from: the mixture, and what can have been changed as weights.

    The weights go by their names in the model's state dict, into which trainers load them again.

    Args:
        model: A model that a mixture is attached to.
        folder: Where to; may exist.
        state: The state dict, if the trainer has gathered it.
    """
    save_mixture(model, folder)
    opened = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    learnt = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in (model.state_dict() if state is None else state).items()
        if name in opened or any(ours in name for ours in OURS)
    }
    save_file(learnt, folder / WEIGHTS, {"format": "pt"})


def mixture_of(model: nn.Module) -> Mixture:
    """Return the mixture that is attached to a model.

    Raises:
        CompositionError: If there is none.
    """
    mixture = getattr(model, HANDLE, None)
    if not isinstance(mixture, Mixture):
        raise CompositionError(
            f"the {type(model).__name__} carries no mixture: give what selfmoe.compose, "
            "selfmoe.load or selfmoe.load_mixture returned, before it is detached"
        )
    return mixture


def _snapshot(folder: Path, room: Path) -> Path:
    """Return a copy of a stored mixture: trainers delete old checkpoints, those loaded, too.

    Experts that lie elsewhere stay there.
    """
    if not (folder / storage.FACTS).is_file():
        raise CompositionError(f"{folder} holds no mixture; expected what save_mixture wrote there")
    for name in (storage.FACTS, storage.TENSORS):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, room / name)
    for name in (EXPERTS, "adapters"):
        if (folder / name).is_dir():
            shutil.copytree(folder / name, room / name)
    return room


def _composer(composition: Composition) -> Composer:
    kinds: tuple[Literal["router", "merge"], ...] = ("router", "merge")
    name, known = composition.composer, registry()
    kind = next((kind for kind in kinds if name in known.names(kind)), kinds[0])
    composer: Composer = known.configure(kind, name, composition.options)
    return composer


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
    source, learnt = _source(mixture, name), _learnt(mixture, name)
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


def _source(mixture: Mixture, name: str) -> Path:
    """Return the folder that an expert was read from."""
    made = mixture.composition
    path = made.owned.get(name) or next(Path(r.path) for r in made.experts if r.name == name)
    if not (path / CONFIG).is_file():
        raise CompositionError(
            f"expert '{name}' cannot be written: {path} is not there any more; put it back"
        )
    return path


def _factors(mixture: Mixture) -> dict[str, Mapping[str, Factors]]:
    return {name: factors_of(Expert(name, _source(mixture, name))) for name in mixture.experts}


class Room:
    """A temporary folder that lasts as long as something refers to it; copies refer to the same."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="selfmoe-")
        self.path = Path(self._folder.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Room:
        """Return the same."""
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Leave it behind: it is of this process."""
        return type(None), ()
