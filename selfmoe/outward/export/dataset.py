"""The data that experts learned from, as a dataset of the hub: rows by domain, and a card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from selfmoe.outward.export.card import licence_of
from selfmoe.outward.export.folder import fill
from selfmoe.store.files import read_jsonl

ROWS = "examples.jsonl"

_TEXT = """\
# What experts learned from

Tasks and answers of {domains}, written by the language model `{base}` itself, which was shown seed
tasks of each domain. They are unchecked but for the filters of selfmoe
(https://arxiv.org/abs/2406.12034 describes the method): expect wrong answers among them.

| domain | examples | seed tasks shown |
|---|---|---|
{table}

A row has the task (`instruction`, `input`), the answer (`response`), the ids of the seed tasks that
stood in context (`seeds`), and where there are any the passages (`sources`), the answer with the
whitespace around it (`continuation`) and its tokens (`tokens`).

## Licence

{licence}
"""


def export_data(
    examples: Mapping[str, Path], out: Path, *, base: str, files: Path, on_hub: bool
) -> Path:
    """Write examples as a dataset.

    Args:
        examples: The folders of data cells, by domain; at least one.
        out: The folder; is not there, or empty.
        base: Hub id of the base that wrote them, or the name of its folder.
        files: Folder of the base.
        on_hub: Whether the base is one of the hub.

    Returns:
        ``out``.

    Raises:
        RunError: If the folder is not empty or cannot be written.
    """

    def write(folder: Path) -> None:
        (folder / "data").mkdir()
        for name, cell in examples.items():
            shutil.copyfile(cell / ROWS, folder / "data" / f"{name}.jsonl")
        (folder / "README.md").write_text(_card(examples, base, files, on_hub), "utf-8")

    return fill(out, write)


def _card(examples: Mapping[str, Path], base: str, files: Path, on_hub: bool) -> str:
    from huggingface_hub import DatasetCardData

    configs = [{"config_name": n, "data_files": f"data/{n}.jsonl"} for n in examples]
    data = DatasetCardData(
        configs=configs, source_datasets=["original"], tags=["selfmoe", "synthetic"]
    )
    text = _TEXT.format(
        domains=", ".join(examples),
        base=base,
        table="\n".join(_row(name, cell) for name, cell in examples.items()),
        licence=_licence(base, files, on_hub),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _row(name: str, cell: Path) -> str:
    rows = read_jsonl(cell / ROWS)
    seeds = {seed for row in rows for seed in row.get("seeds", ())}
    return f"| {name} | {len(rows)} | {len(seeds)} |"


def _licence(base: str, files: Path, on_hub: bool) -> str:
    told = licence_of(files).get("license")
    what = f"The card of the base says `{told}`" if told else "The base's files tell none here"
    where = f" (https://huggingface.co/{base})" if on_hub else ""
    return (
        f"None is given here. {what}{where}; whether its terms say anything of what it writes, and "
        "what those of the seed tasks say, is to be looked up before this is passed on."
    )
