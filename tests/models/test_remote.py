"""What a backend tells as it writes is what it returns, in the places that were asked."""

from __future__ import annotations

import pytest

from selfmoe.contracts.backend import Writer, Written
from selfmoe.contracts.errors import StageError
from selfmoe.models.remote.writing import Remote
from selfmoe.testing.models import tiny_base


class Telling(Writer):
    """Answers with a token of its own for each text; told are pairs of a place and an answer."""

    name = "the backend"

    def __init__(self, places):
        self.places, self.asked = places, []

    def write(self, asked, manner, told):
        self.asked += asked
        found = [Written("", False, (5 + one.ids[-1],)) for one in asked]
        for place, number in self.places(len(found)):
            told(place, found[number])
        return found


def written(writer, folder, prompts=("a", "b", "c")):
    remote = Remote(writer, tiny_base()).keeping(folder)
    return [new.tokens for new in remote.generate(prompts, max_new_tokens=1)]


def each(n):
    return [(place, place) for place in range(n)]


def backwards(n):
    return [(place, n - 1 - place) for place in range(n)]


@pytest.mark.parametrize("places", [each, lambda n: [], lambda n: [*each(n), (0, 0)]])
def test_answers_have_the_places_of_their_prompts_however_they_are_told(tmp_path, places):
    writer = Telling(places)
    first = written(writer, tmp_path)
    assert len(set(first)) == 3
    assert first == [(5 + one.ids[-1],) for one in writer.asked]
    writer.asked.clear()
    assert written(writer, tmp_path) == first
    assert not writer.asked


def test_what_is_there_is_not_asked_and_the_rest_is(tmp_path):
    writer = Telling(each)
    written(writer, tmp_path, ["b"])
    writer.asked.clear()
    found = written(writer, tmp_path)
    assert len(writer.asked) == 2
    assert found == written(Telling(each), tmp_path / "another")


def test_an_answer_that_is_told_of_another_text_is_refused(tmp_path):
    with pytest.raises(StageError, match=r"the backend told .* of text 0 of 3 and returned"):
        written(Telling(backwards), tmp_path)
    assert not list(tmp_path.iterdir())
