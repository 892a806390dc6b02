"""What is learnt from: questions and answers of a file, or problems of the mini tracks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from selfmoe.contracts.records import Example
from selfmoe.kits.domains.procedural import draw
from selfmoe.models.fitting.batches import encode

Row = dict[str, Any]
DOMAINS = ("coding", "knowledge", "math", "reasoning")


def texts(file: Path | None, tokenizer: Any, longest: int, n: int) -> list[Row]:
    """Return examples as plain rows.

    Args:
        file: JSON lines with ``question`` and ``answer``; ``None``: problems of the mini tracks.
        tokenizer: Measures them.
        longest: How many tokens one may have.
        n: How many.

    Raises:
        ValueError: If there are not that many.
    """
    rows = _problems(4 * n) if file is None else _lines(file)
    short = (row for row in rows if len(encode(Example(**row), tokenizer).ids) <= longest)
    found = list(islice(short, n))
    if len(found) < n:
        raise ValueError(f"{file}: {len(found)} of {n} examples have at most {longest} tokens")
    return found


def _lines(file: Path) -> Iterator[Row]:
    for number, line in enumerate(file.read_text("utf-8").splitlines()):
        row, domain = json.loads(line), DOMAINS[number % len(DOMAINS)]
        yield _row(f"{number}", domain, row["question"], "", row["answer"])


def _problems(n: int) -> Iterator[Row]:
    minis = {name: import_module(f"selfmoe_domain_{name}.mini") for name in DOMAINS}
    drawn = (
        draw(mini.FAMILIES, "seeds", n, 0, domain=name, style=mini.STYLE)
        for name, mini in minis.items()
    )
    for together in zip(*drawn, strict=True):
        for name, item in zip(DOMAINS, together, strict=True):
            yield _row(item.id, name, item.instruction, item.input, item.response)


def _row(number: str, domain: str, instruction: str, text: str, response: str) -> Row:
    asked = {"instruction": instruction, "input": text}
    return {"id": number, "domain": domain, **asked, "response": response}
