"""What an expert learns, example by example: the texts, and the tokens where the answer begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import unknown_name
from selfmoe.contracts.names import CellName
from selfmoe.contracts.records import Example, Template
from selfmoe.models.base import check_same, find_base
from selfmoe.models.fitting.batches import encode
from selfmoe.models.spelling import texts_of
from selfmoe.models.vocabulary import read_tokenizer
from selfmoe.store.directory import RunDirectory, command_for
from selfmoe.store.files import check_intact, read_jsonl
from selfmoe.store.manifest import Manifest


@dataclass(frozen=True)
class Learned:
    """One example as an expert learns it.

    Attributes:
        example: The record.
        prompt: The texts of the prompt's tokens, in order.
        target: The texts of the tokens that carry loss, in order; the last one ends the text.
        ids: The target's token ids.
        written: Whether the base wrote these tokens; else the text was encoded.
    """

    example: Example
    prompt: tuple[str, ...]
    target: tuple[str, ...]
    ids: tuple[int, ...]
    written: bool


def examples_of(
    run: Path, domain: str, seed: int | None = None
) -> tuple[Any, Template, list[Example]]:
    """Return tokenizer and template of a run, and what the expert of a domain was trained on.

    Args:
        run: The run's folder.
        domain: Whose data.
        seed: Root seed; default: the run's first.

    Raises:
        RunError: If it is no finished run, its data is gone, or its base is another one now.
        UnknownNameError: If the run has no such domain or root seed.
        DataError: If the base is no longer there.
    """
    manifest = RunDirectory(run).manifest()
    config = resolve(manifest.config, str(run / "manifest.json"))
    chosen = manifest.chosen(config.root_seeds[0] if seed is None else seed)
    folder = _data(run, manifest, chosen, domain)
    files = find_base(config)
    check_same(files, manifest.base, command_for(run / "config.yaml"))
    local = {"local_files_only": True, "trust_remote_code": False}
    rows = read_jsonl(folder / "examples.jsonl")
    examples = [Example.from_json(row) for row in rows]
    return read_tokenizer(files.path, local), files.template.name, examples


def learned(example: Example, tokenizer: Any, template: Template = "alpaca") -> Learned:
    """Return an example as the tokens that an expert learns.

    Args:
        example: The example.
        tokenizer: Whose tokens.
        template: How its task is put.
    """
    row = encode(example, tokenizer, template)
    prompt, target = row.ids[: row.prompt], row.ids[row.prompt :]
    before, after = texts_of(tokenizer, prompt), texts_of(tokenizer, target, before=prompt)
    return Learned(example, tuple(before), tuple(after), tuple(target), bool(example.tokens))


def _data(run: Path, manifest: Manifest, seed: str, domain: str) -> Path:
    """Return the folder of a domain's data."""
    known = {name.label for name in manifest.named(seed) if name.stage == "curate"}
    cell = manifest.cell(seed, CellName("curate", domain))
    if cell is None:
        raise unknown_name("domain", domain, known)
    check_intact(run / cell.path, command_for(run / "config.yaml"))
    return run / cell.path
