"""Tokens of converted GGUF files against llama.cpp's: `benchmarks/gguf_tokens.py --llama PYTHON`.

The tokenizer of each file is built as for a base, and both programs are asked for the tokens of the
same texts, those that open and end them included. Tiny files are made as well, one for every cut
that values of `tokenizer.ggml.pre` are known to mean, on a vocabulary whose merges cross words,
digits and spaces: a cut in another place gives other tokens. PYTHON is an interpreter that has the
package xllamacpp; it needs nothing else.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from selfmoe.contracts.errors import SelfmoeError
from selfmoe.models.gguf.header import read_header
from selfmoe.models.gguf.pretokenizers import OWN_MERGES, known, pre_tokenizer
from selfmoe.models.gguf.tokenizer import build_tokenizer, doubts
from selfmoe.reporting.terminal.progress import output
from selfmoe.store.files import write_json
from selfmoe.testing.gguf import Contents, Vocabulary, write_gguf
from tokens.texts import texts
from tokens.vocabulary import SPECIAL, crossing, sentencepiece

PRE = "tokenizer.ggml.pre"
HELPER = Path(__file__).with_name("tokens") / "llama.py"
Row = dict[str, Any]


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--llama", required=True, help="Interpreter with the package xllamacpp.")
@click.option("--pre", "named", multiple=True, help="Values to try; default: one a cut.")
@click.option("--texts", "count", default=500, help="Number of texts.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Also write JSON there.")
def command(
    files: tuple[Path, ...], llama: str, named: tuple[str, ...], count: int, target: Path | None
) -> None:
    """Compare the tokens of FILES, and of one tiny file a pre-tokenizer, with llama.cpp's."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            every = chain(files, made(Path(folder), named, count))
            rows = [compare(file, llama, count) for file in every]
    except SelfmoeError as error:
        raise click.ClickException(str(error)) from None
    if target is not None:
        write_json(target, {"texts": count, "versions": versions(), "rows": rows})
    _print(rows)


def versions() -> dict[str, str]:
    """Return the releases of what converts."""
    return {name: version(name) for name in ("gguf", "tokenizers", "transformers")}


def made(folder: Path, named: tuple[str, ...], count: int) -> Iterator[Path]:
    """Yield a tiny file for every value of ``tokenizer.ggml.pre``, and two of sentencepiece."""
    learnt = [text for _, text in texts(4 * count, seed=1)]
    vocabulary = crossing(learnt)
    opening = {"bos_token_id": vocabulary.tokens.index("<bos>"), "add_bos_token": None}
    for pre in named or [names[0] for names in cuts()]:
        yield _file(folder / f"{pre}.gguf", vocabulary, {**opening, "pre": pre})
    if not named:
        pieces, scores = sentencepiece(learnt)
        facts: Row = {"model": "llama", "pre": None, "scores": scores, "merges": None}
        facts |= {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
        facts["add_bos_token"] = None
        for prefix in (True, False):
            path = folder / f"sentencepiece-prefix-{prefix}.gguf"
            yield _file(path, pieces, {**facts, "add_space_prefix": prefix})


def cuts() -> list[list[str]]:
    """Return the known values of ``tokenizer.ggml.pre``, those together that mean the same."""
    found: dict[tuple[bytes, bool], list[str]] = defaultdict(list)
    for pre in known():
        found[_meaning(pre)].append(pre)
    return list(found.values())


def _meaning(pre: str) -> tuple[bytes, bool]:
    """Return the cut that a value means, and whether tokens may skip merges."""
    cut: bytes = pre_tokenizer(pre).__getstate__()
    return cut, pre in OWN_MERGES


def _file(path: Path, vocabulary: Vocabulary, facts: Row) -> Path:
    named = {f"tokenizer.ggml.{key}": value for key, value in facts.items()}
    return write_gguf(path, Contents("llama", "F32", vocabulary, named))


def compare(file: Path, llama: str, count: int) -> Row:
    """Return how many texts have the same tokens by both, and what the others have in common.

    Args:
        file: In GGUF.
        llama: Interpreter with xllamacpp.
        count: Number of texts.
    """
    header = read_header(file)
    tokenizer = build_tokenizer(header)
    special = tuple(t for t in (*SPECIAL, *tokenizer.all_special_tokens) if t in _added(tokenizer))
    asked = texts(count, special)
    answer = ask(file, llama, [text for _, text in asked])
    other = [
        (kind, text, ours, tokens)
        for (kind, text), tokens in zip(asked, answer["tokens"], strict=True)
        if (ours := tokenizer(text).input_ids) != tokens
    ]
    shortest = sorted(other, key=lambda found: len(found[1]))[:3]
    return {
        "file": file.name,
        "pre": next((names for names in cuts() if header.facts.get(PRE) in names), []),
        "same": count - len(other),
        "differ": dict(Counter(kind for kind, *_ in other)),
        "differ_with_marks": sum(_has(text, "M") for _, text, *_ in other),
        "differ_with_wide_spaces": sum(_has(text, "Zs") for _, text, *_ in other),
        "xllamacpp": answer["xllamacpp"],
        "examples": [_example(tokenizer, *found[1:]) for found in shortest],
        "warned": list(doubts(header)),
    }


def _has(text: str, category: str) -> bool:
    """Return whether a text has a letter beyond ASCII of a category of Unicode."""
    return any(ord(c) > 127 and unicodedata.category(c).startswith(category) for c in text)


def _added(tokenizer: Any) -> set[str]:
    return {str(token) for token in tokenizer.get_added_vocab()}


def _example(tokenizer: Any, text: str, ours: list[int], theirs: list[int]) -> Row:
    names = tokenizer.convert_ids_to_tokens
    return {"text": text, "ours": names(ours), "llama.cpp": names(theirs)}


def ask(file: Path, llama: str, asked: list[str]) -> Row:
    """Return llama.cpp's ``tokens`` of each text, those that open and end it included.

    Raises:
        ClickException: If the other interpreter fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tokens.json"
        done = subprocess.run(
            [llama, HELPER, file, out], input=json.dumps(asked), capture_output=True, text=True
        )
        if not out.exists():
            raise click.ClickException(f"{llama} failed on {file.name}: {done.stderr[-800:]}")
        answer: Row = json.loads(out.read_text())
    return answer


def _print(rows: list[Row]) -> None:
    table = Table("file", "pre", "same tokens", "others, by kind of text", "warned")
    for row in rows:
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(row["differ"].items()))
        warned = "yes" if row["warned"] else ""
        table.add_row(row["file"], ", ".join(row["pre"]), str(row["same"]), kinds, warned)
    output().print(table)
    for row in rows:
        for example in row["examples"][:2]:
            output().print(
                f"{row['file']}: {json.dumps(example, ensure_ascii=False)}", markup=False
            )


if __name__ == "__main__":
    command()
