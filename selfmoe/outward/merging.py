"""Adapters merged on a base without a run, written as a model or a LoRA, and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.composer import Composer
from selfmoe.contracts.errors import (
    CompositionError,
    ConfigError,
    NotSupportedError,
    RunError,
    counted,
    unknown_name,
)
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.base import BaseFiles, find_base, is_base, load_base
from selfmoe.registry.registry import registry
from selfmoe.store.files import cannot_write, place_folder, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.outward.delta import Deltas

Format = Literal["hf", "peft"]
"""``hf``: a plain model of transformers; ``peft``: a PEFT LoRA for the base."""

RECORD = "selfmoe-merge.json"
"""What was merged how; beside the weights, read by nobody."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be merged, and how it is to be written.

    Attributes:
        adapters: LoRA folders by name.
        base: Base plugin, folder, GGUF file, or hub id.
        method: Name of a merge.
        out: The folder to write; must not exist.
        options: Options of the merge.
        format: What is written.
        rank: Of a PEFT LoRA; ``None`` for the sum of the adapters' ranks.
        dtype: Number format of a model's weights; ``auto`` for that of the base's files.
        seed: Decides what a merge draws.
    """

    adapters: Mapping[str, Path]
    base: str
    method: str
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    format: Format = "hf"
    rank: int | None = None
    dtype: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """An adapter that was merged.

    Attributes:
        path: Its folder.
        hash: 10 hex digits over what it adds.
        rank: Its largest rank.
    """

    path: str
    hash: str
    rank: int


@dataclass(frozen=True)
class Merged:
    """A merge that was written and read again.

    Attributes:
        path: The folder.
        format: What it holds.
        method: Name of the merge.
        options: All its options.
        adapters: What was merged, by name.
        seed: What decided what the merge draws.
        base: The base, as it was named.
        base_hash: 10 hex digits over the base's files.
        layers: How many linear layers are changed.
        dtype: Number format of the weights.
        rank: Of the LoRA; ``None`` for a model.
        discarded: Share of the squared norm of the delta that rank leaves out, 0 to 1.
        moved: How far rounding or rank moves logits, as a share of the largest one.
        off: How far the logits of what was read again are from what selfmoe computes; likewise.
        notes: What a user must know, in words.
    """

    path: Path
    format: Format
    method: str
    options: Mapping[str, Any]
    adapters: Mapping[str, Part]
    seed: int
    base: str
    base_hash: str
    layers: int
    dtype: str
    rank: int | None
    discarded: float
    moved: float
    off: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {**asdict(self), "path": str(self.path), "notes": list(self.notes)}


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
    _check_request(wanted)
    composer = _composer(wanted)
    config = resolve({"base": wanted.base, "device": "cpu"}, "merge")
    files = find_base(config)
    parts = _checked(wanted, files)
    base = load_base(replace(files, dtype="float32"), config)
    tell(f"Merging {counted(len(parts), 'adapter')} by {wanted.method} on {files.name}")
    deltas, expected = _merged(wanted, composer, base)
    facts = Merged(
        path=wanted.out, format=wanted.format, method=wanted.method,
        options=composer.options.model_dump(mode="json"), adapters=parts, seed=wanted.seed,
        base=files.name, base_hash=files.hash, layers=len(deltas), dtype="float32", rank=None,
        discarded=0.0, moved=0.0, off=0.0,
        notes=(*files.notes, *_strangers(wanted, files, config)),
    )  # fmt: skip
    write = _write_model if wanted.format == "hf" else _write_lora
    tell(f"Writing {wanted.out}, and reading it again")
    return _placed(wanted.out, partial(write, wanted, facts, files, base.model, deltas, expected))


# --- before anything is loaded --------------------------------------------------------------------


def _check_request(wanted: Wanted) -> None:
    if wanted.format not in get_args(Format):
        raise unknown_name("format", wanted.format, get_args(Format))
    if not wanted.adapters:
        raise ConfigError("merge: no adapter is named\n  Name the folders of PEFT LoRA adapters.")
    if wanted.out.exists() or wanted.out.is_symlink():
        raise RunError(f"{wanted.out} exists\n  Name a folder that does not exist with --out.")
    if wanted.format == "hf" and wanted.rank is not None:
        raise ConfigError(
            f"--rank {wanted.rank}: a model has no rank\n  Leave it out, or add --format peft."
        )
    if wanted.format == "peft" and wanted.dtype != "auto":
        raise ConfigError(
            f"--dtype {wanted.dtype}: adapters are written in float32\n  Leave it out."
        )
    if wanted.rank is not None and wanted.rank < 1:
        raise ConfigError(f"--rank {wanted.rank}: must be at least 1")


def _composer(wanted: Wanted) -> Composer:
    """Return the merge with its options.

    Raises:
        NotSupportedError: If it learns from examples, of which there are none here.
    """
    names = registry()
    composer: Composer = names.configure("merge", wanted.method, dict(wanted.options))
    if "data" in composer.needs:
        others = [name for name in names.names("merge") if not _learns(name)]
        raise NotSupportedError(
            f"merge '{wanted.method}' trains on the examples that the adapters were trained on, "
            "and adapters alone bring none\n"
            f"  Merges that need adapters only: {', '.join(others)}. With examples: "
            f"selfmoe.compose(model, adapters, merge='{wanted.method}', data=…) in Python."
        )
    if problem := composer.check(len(wanted.adapters)):
        raise CompositionError(f"merge '{wanted.method}': {problem}")
    return composer


def _learns(name: str) -> bool:
    return "data" in registry().get("merge", name).needs


def _checked(wanted: Wanted, files: BaseFiles) -> dict[str, Part]:
    """Return what is known of every adapter; refuse those that do not fit the base."""
    from selfmoe.mixture.adapters import adapter_hash, read_factors
    from selfmoe.mixture.sites.compatibility import check_expert, skeleton

    model, found = skeleton(files.path), {}
    for name, path in wanted.adapters.items():
        rank = max(part.rank for part in read_factors(path).values())
        found[name] = Part(str(path), adapter_hash(path), rank)
        if model is not None:
            check_expert(name, path, model)
    return found


def _strangers(wanted: Wanted, files: BaseFiles, config: RunConfig) -> list[str]:
    """Return which adapters say that they were made for another base."""
    from selfmoe.mixture.adapters import made_for

    named = {name: (made_for(path), path) for name, path in wanted.adapters.items()}
    return [
        f"{name} was made for '{other}', as it says; its shapes fit {files.name}"
        for name, (other, path) in named.items()
        if other is not None and not is_base(other, files, config, near=path)
    ]


# --- merged, written, read again ------------------------------------------------------------------


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
