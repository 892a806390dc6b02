"""Adapters merged on a base without a run, written as a model or a LoRA, and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.config.resolve import resolve
from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import counted
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.base import BaseFiles, find_base, load_base
from selfmoe.outward.merging.checks import check_adapters, check_request, composer_of, strangers
from selfmoe.outward.merging.model import RECORD, Merged, Wanted
from selfmoe.store.files import cannot_write, place_folder, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.outward.delta import Deltas

Tell = Callable[[str], None]


def merge_adapters(wanted: Wanted, tell: Tell = lambda line: None) -> Merged:
    """Merge adapters on a base, write the result, and check it; nothing is left if that fails.

    Everything is computed in float32 on the CPU.

    Args:
        wanted: What to do.
        tell: Told what is being done.

    Raises:
        SelfmoeError: If something that was named is wrong, which is said before the base is
            loaded, or what was written does not compute what it should.
    """
    check_request(wanted)
    composer = composer_of(wanted)
    config = resolve({"base": wanted.base, "device": "cpu"}, "merge")
    files = find_base(config)
    parts = check_adapters(wanted, files)
    base = load_base(replace(files, dtype="float32"), config)
    tell(f"Merging {counted(len(parts), 'adapter')} by {wanted.method} on {files.name}")
    deltas, expected = _merged(wanted, composer, base)
    facts = Merged(
        path=wanted.out, format=wanted.format, method=wanted.method,
        options=composer.options.model_dump(mode="json"), adapters=parts, seed=wanted.seed,
        base=files.name, base_hash=files.hash, layers=len(deltas), dtype="float32", rank=None,
        discarded=0.0, moved=0.0, off=0.0,
        notes=(*files.notes, *strangers(wanted, files, config)),
    )  # fmt: skip
    write = _write_model if wanted.format == "hf" else _write_lora
    tell(f"Writing {wanted.out}, and reading it again")
    return _placed(wanted.out, partial(write, wanted, facts, files, base.model, deltas, expected))


def _merged(wanted: Wanted, composer: Composer, base: LoadedBase) -> tuple[Deltas, Tensor]:
    """Return what the merge adds, and the logits of the base with it; the base is as before."""
    from selfmoe.mixture.compose import compose
    from selfmoe.outward.checking import logits
    from selfmoe.outward.delta import deltas_of

    model = compose(
        base.model,
        wanted.adapters,
        merge=wanted.method,
        options=wanted.options,
        seed=wanted.seed,
        in_place=True,
    )
    mixture: Any = model.mixture
    deltas, found = deltas_of(composer, mixture.composition), logits(model)
    mixture.detach()
    return deltas, found


def _write_model(
    wanted: Wanted,
    facts: Merged,
    files: BaseFiles,
    model: Any,
    deltas: Deltas,
    expected: Tensor,
    folder: Path,
) -> Merged:
    import torch

    from selfmoe.outward.checking import check_model, difference, logits
    from selfmoe.outward.delta import put_in, stored_dtype, write_model

    named = wanted.dtype
    dtype = stored_dtype(files.path) if named == "auto" else getattr(torch, named)
    put_in(model, deltas, dtype)
    now = logits(model)
    write_model(model, files.path, dtype, folder)
    made = replace(facts, dtype=str(dtype).removeprefix("torch."), moved=difference(now, expected))
    return replace(made, off=check_model(folder, now))


def _write_lora(
    wanted: Wanted,
    facts: Merged,
    files: BaseFiles,
    model: Any,
    deltas: Deltas,
    expected: Tensor,
    folder: Path,
) -> Merged:
    from selfmoe.outward.checking import check_lora, difference, logits
    from selfmoe.outward.delta import added, low_rank, write_lora

    rank = wanted.rank or sum(part.rank for part in facts.adapters.values())
    factors, discarded = low_rank(deltas, rank)
    with added(model, factors):
        now = logits(model)
    write_lora(model, factors, address(wanted.base, files), folder)
    made = replace(facts, rank=rank, discarded=discarded, moved=difference(now, expected))
    return replace(made, off=check_lora(model, folder, now))


def address(base: str, files: BaseFiles) -> tuple[str, str | None]:
    """Return what PEFT loads a base by: a hub id and revision, or the folder it lies in."""
    model, _, revision = base.partition("@")
    if files.path.parent.name == "snapshots" and files.name == base:
        return model, revision or None
    return str(files.path.absolute()), None


def _placed(out: Path, write: Callable[[Path], Merged]) -> Merged:
    """Return what ``write`` returns of the folder it filled; it has its name only now."""
    made: list[Merged] = []

    def fill(folder: Path) -> None:
        made.append(write(folder))
        record = made[0].to_json()
        write_json(folder / RECORD, {key: record[key] for key in record if key != "path"})

    try:
        place_folder(out, fill)
    except OSError as error:
        raise cannot_write(out, error, "") from None
    return made[0]
