"""A mixture from a folder that ``save_mixture`` or a trainer's checkpoint wrote, put on a base."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture import storage
from selfmoe.mixture.adapters import Factors, factors_of
from selfmoe.mixture.forward.kernels import AUTO, check_kernel
from selfmoe.mixture.handle import Mixture
from selfmoe.mixture.names import check_free
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.saving import EXPERTS, base_hash, source_of
from selfmoe.mixture.trainable import Trainable, check_trainable, deltas_of, open_parts
from selfmoe.registry.registry import registry


def load_mixture(
    base_model: nn.Module,
    folder: str | Path,
    *,
    in_place: bool = False,
    trainable: Trainable = None,
    blocks: str | None = None,
    kernel: str = AUTO,
    check: bool = True,
    live: int | None = None,
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
        live: How many experts a routed block keeps in memory, as in ``selfmoe.compose``.

    Raises:
        CompositionError: If the folder holds no mixture, is damaged, or was made on another base.
        UnknownNameError: If nobody provides its router, or there is no such kernel or part.
        NotSupportedError: If the mixture has no such part to train.
    """
    check_kernel(kernel)
    check_trainable(trainable)
    check_free(base_model)
    room = Room()
    composition = storage.read_composition(
        _snapshot(Path(folder), room.path), base_hash=base_hash(base_model)
    )
    composer = _composer(composition)
    model = base_model if in_place else copied(base_model)
    experts = {ref.name: Expert(ref.name, Path(ref.path)) for ref in composition.experts}
    mixture = attach(
        model,
        composer,
        composition,
        experts,
        blocks=blocks,
        kernel=kernel,
        check=check,
        keep_alive=room,
        live=live,
    )
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
        wanted = "experts" in check_trainable(trainable) and mixture.live is None
        wanted = wanted and bool(deltas_of(mixture.model))
        open_parts(mixture, trainable, _factors(mixture) if wanted else {})
    except BaseException:
        mixture.detach()
        raise


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


def _factors(mixture: Mixture) -> dict[str, Mapping[str, Factors]]:
    return {name: factors_of(Expert(name, source_of(mixture, name))) for name in mixture.experts}


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
