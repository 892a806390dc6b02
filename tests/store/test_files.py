"""Reading files that others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError
from selfmoe.store.files import read_jsonl


@pytest.mark.parametrize(
    "content",
    [b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n', b'{"a": 1}\r\n\r\n{"a": 2}', b'{"a": 1}\n\n{"a": 2}\n'],
    ids=["mark in front", "lines end as on Windows", "blank lines"],
)
def test_what_editors_make_of_a_file_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    assert read_jsonl(tmp_path / "x.jsonl") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}\n{"a": "\xe9"}\n', "line 2: not UTF-8 text; save it as UTF-8"),
        (b'\xff\xfe{\x00"\x00', "line 1: not UTF-8 text; save it as UTF-8"),
        (b'{"a": "fine \\ud83d\\ude00"}\n{"a": "x\\ud800"}', r"line 2: holds \ud800, half of"),
        (b'{"a": 1}\n' + b"[" * 100_000, "line 2: not valid JSON"),
    ],
    ids=["latin-1", "utf-16", "half a character", "too deep"],
)
def test_what_cannot_be_read_is_named_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_jsonl(path)
    assert str(error.value).startswith(f"{path}, {said}")
