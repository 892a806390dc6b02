"""The page on the run directory names every file of a run, and every field of its JSON files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

NOT_HERE = {"loglikelihoods", "sources", "sources_dropped", "retrieved"}
"""Fields of runs with other benchmarks than this one has, or with documents."""


class Row(NamedTuple):
    path: str
    fields: frozenset[str]

    def matches(self, file: str) -> bool:
        pattern = re.sub(r"<\w+>", r"[^/@]+", re.escape(self.path).replace(r"\<", "<"))
        return re.fullmatch(pattern.replace(r"\>", ">"), file) is not None


def rows(page: str) -> Iterator[Row]:
    """Yield the files that the section on files names."""
    folder = ""
    for line in page.partition("## Files")[2].partition("\n## ")[0].splitlines():
        if line.startswith("### "):
            found = re.match(r"### `(.*?)`", line)
            folder = found[1] if found else ""
        elif found := re.match(r"\| `(.*?)` \|", line):
            fields = line.split("|")[3] if line.count("|") > 3 else ""
            yield Row(folder + found[1], frozenset(re.findall(r"`(\w+)`", fields)))


@pytest.fixture(scope="module")
def files(quickstart_python):
    root = quickstart_python["folder"]
    return {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*")) if p.is_file()}


def test_every_file_of_a_run_is_on_the_page(pages, files):
    listed = list(rows(pages["run-directory"]))
    assert len(listed) > 20
    for file in files:
        assert sum(row.matches(file) for row in listed) == 1, f"say in run-directory.md: {file}"


def test_every_file_on_the_page_is_in_a_run(pages, files):
    for row in rows(pages["run-directory"]):
        assert any(row.matches(file) for file in files), f"no run has {row.path}"


def test_the_fields_are_those_on_the_page(pages, files):
    for row in rows(pages["run-directory"]):
        found = {key for name, path in files.items() if row.matches(name) for key in fields(path)}
        if row.fields:
            assert found <= row.fields, f"say in run-directory.md: {row.path}"
            assert row.fields - found <= NOT_HERE, f"no run has these in {row.path}"


def fields(path) -> Iterator[str]:
    lines = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else []
    objects = [json.loads(line) for line in lines]
    if path.suffix == ".json":
        objects = [json.loads(path.read_text("utf-8"))]
    for value in objects:
        if isinstance(value, dict):
            yield from value


def test_the_check_notices_a_new_file(pages):
    listed = list(rows(pages["run-directory"]))
    assert any(row.matches("seeds/math@0123456789/seeds.jsonl") for row in listed)
    assert not any(row.matches("seeds/math@0123456789/extra.jsonl") for row in listed)
    assert not any(row.matches("seeds/math@0123456789/deep/seeds.jsonl") for row in listed)
