"""What a backend has answered is there again, whatever its writer was killed at."""

from __future__ import annotations

import pytest

from selfmoe.contracts.errors import RunError
from selfmoe.models.remote.kept import Kept

KEY, OTHER = (12, ["."], 0.7, [3, 4], "Text: é\n", 5), (12, ["."], 0.7, [3, 4], "Text: é\n", 6)
ANSWER = ["two\u2028lines\n", True, [7, 8]]


def test_an_answer_is_found_again_by_all_that_it_depends_on(tmp_path):
    Kept(tmp_path).add(KEY, ANSWER)
    again = Kept(tmp_path)
    assert again.get(KEY) == ANSWER
    assert again.get(OTHER) is None


def test_several_processes_keep_what_each_was_told(tmp_path):
    first, second = Kept(tmp_path), Kept(tmp_path)
    first.add(KEY, ANSWER)
    second.add(OTHER, -3.25)
    again = Kept(tmp_path)
    assert (again.get(KEY), again.get(OTHER)) == (ANSWER, -3.25)


@pytest.mark.parametrize("lost", range(1, 30, 7))
def test_a_line_that_is_not_whole_is_asked_again(tmp_path, lost):
    kept = Kept(tmp_path)
    kept.add(KEY, ANSWER)
    kept.add(OTHER, ANSWER)
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-lost])
    again = Kept(tmp_path)
    assert again.get(KEY) == ANSWER
    assert again.get(OTHER) == (ANSWER if lost == 1 else None)  # 1: the end of the line alone
    again.add(OTHER, ANSWER)
    assert Kept(tmp_path).get(OTHER) == ANSWER


def test_what_cannot_be_written_is_one_error(tmp_path):
    place = tmp_path / "a file"
    place.write_text("")
    with pytest.raises(RunError, match="cannot write"):
        Kept(place).add(KEY, ANSWER)
