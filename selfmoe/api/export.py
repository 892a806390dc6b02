"""A system of a run as a folder for other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from selfmoe.api.load import end_turns
from selfmoe.contracts.errors import RunError
from selfmoe.contracts.paths import expand
from selfmoe.mixture.systems import attach_system
from selfmoe.outward.export import DATASET
from selfmoe.outward.opening import OpenRun, open_run
from selfmoe.store.cells import Cells

if TYPE_CHECKING:
    from selfmoe.contracts.composer import Composer
    from selfmoe.contracts.records import LoadedBase, System, SystemKind
    from selfmoe.models.base import BaseFiles
    from selfmoe.outward.export.card import Facts
    from selfmoe.outward.export.source import Source


def export(
    run: str | Path,
    system: str,
    out: str | Path,
    *,
    format: str = "hf",
    base_weights: Literal["copy", "reference"] = "copy",
    rank: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    check: bool = True,
) -> Path:
    """Write a system of a run to a folder that other programs load without selfmoe.

    Args:
        run: The run's folder.
        system: ``expert-<name>`` or a composition's label; with ``dataset`` also ``base``.
        out: The folder; is not there, or empty.
        format: ``hf``: a model for transformers; a router brings the file that computes it.
            ``peft``, ``mlx``, ``gguf``: an adapter, of an expert or a merge. ``dataset``: what the
            system's experts learned from.
        base_weights: Of a router in ``hf``: copy the base's weights, or name where they are.
        rank: Rank of the adapter at the most; default: as it is, or 32 where a merge is of full
            rank.
        seed: Root seed of the pipeline it is taken from; default: the run's first.
        device: Where to put the base; default: as the run's settings say.
        dtype: Number format of the base; default: as the run's settings say.
        check: Load what was written and compare its logits with the system's, and leave nothing
            behind where they differ.

    Returns:
        ``out``, with a card that says what it holds.

    Raises:
        RunError: If the folder is not empty, the run not finished, or the check finds a difference.
        UnknownNameError: If the run has no such system or root seed, or there is no such format.
        NotSupportedError: If the system cannot be exported in this format; says what can.
    """
    from selfmoe.outward.export.folder import check_new

    root, target = expand(run), expand(out)
    check_new(target)
    if format == DATASET:
        return _dataset(root, system, target, seed)
    from selfmoe.outward.export.formats import Wishes
    from selfmoe.outward.export.whole import export_system

    opened = open_run(root, seed, device=device, dtype=dtype)
    named, cell = opened.find(system)
    base = opened.load_base()
    attach_system(base, named, cell, opened.config.registry)
    end_turns(base)
    source = _source(opened, base, named)
    facts = _facts(root, opened, source)
    wishes = Wishes(base_weights, rank)
    return export_system(source, target, format, facts, wishes, checked=check)


def _source(opened: OpenRun, base: LoadedBase, system: System) -> Source:
    from selfmoe.outward.export.source import Source

    name, revision = _origin(opened.files)
    return Source(base, system, _composer(opened, base, system.kind), name, revision)


def _origin(files: BaseFiles) -> tuple[str, str | None]:
    """Return where the base is for others: hub id and commit, or its folder."""
    from selfmoe.models.base import cached_as

    found = cached_as(files.path)
    return (found, files.path.absolute().name) if found else (str(files.path.absolute()), None)


def _composer(opened: OpenRun, base: LoadedBase, kind: SystemKind) -> Composer | None:
    from selfmoe.mixture.handle import mixture_of

    if kind not in ("router", "merge"):
        return None
    made = mixture_of(base.model).composition
    composer: Composer = opened.config.registry.configure(kind, made.composer, made.options)
    return composer


def _facts(root: Path, opened: OpenRun, source: Source) -> Facts:
    from selfmoe.models.base import cached_as
    from selfmoe.outward.export.card import Facts
    from selfmoe.reporting.results import read_results

    composition = source.mixture.composition
    experts = [ref.name for ref in composition.experts] or list(source.mixture.experts)
    results = None
    with suppress(RunError):  # a run can be exported before it has a report
        results = read_results(root)
    data = {} if results is None else results.data.get(opened.seed, {})
    hub = cached_as(opened.files.path)
    return Facts(
        system=source.system.name,
        kind=source.system.kind,
        composer=composition.composer,
        experts=experts,
        base=hub or opened.files.path.name,
        files=opened.files.path,
        on_hub=hub is not None,
        results=results,
        data={name: data[name] for name in experts if name in data},
    )


# --- the data -------------------------------------------------------------------------------------


def _dataset(root: Path, system: str, out: Path, seed: int | None) -> Path:
    from selfmoe.models.base import cached_as
    from selfmoe.outward.export.dataset import export_data

    opened = open_run(root, seed)
    named, cell = opened.find(system)
    cells = dict(Cells(root).of(opened.seed, "curate"))
    wanted = [named.expert] if named.kind == "expert" else _experts(cell, cells)
    examples = {name: cells[name] for name in wanted if name in cells}
    if not examples:
        raise RunError(
            f"'{system}' has no data in {root}: its experts were brought along as adapters\n"
            f"  Domains with data: {', '.join(cells) or 'none'}."
        )
    files = opened.files
    hub = cached_as(files.path)
    return export_data(
        examples, out, base=hub or files.path.name, files=files.path, on_hub=hub is not None
    )


def _experts(cell: Path | None, known: Mapping[str, Path]) -> Sequence[str]:
    """Return the experts of a composition; of the base, all domains."""
    if cell is None:
        return list(known)
    facts = json.loads((cell / "composition.json").read_text("utf-8"))
    return [row["name"] for row in facts["experts"]]
