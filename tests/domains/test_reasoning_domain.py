import random

import pytest

from selfmoe.errors import DataError
from selfmoe.records import Source
from selfmoe_domain_reasoning import Reasoning


def test_a_track_it_lacks_is_a_clear_error(tmp_path):
    with pytest.raises(DataError, match="has no track 'benchmark'"):
        Reasoning().seeds(Source("benchmark", tmp_path), 3, random.Random(0))


def test_more_seeds_than_there_are_is_a_clear_error():
    with pytest.raises(DataError, match="has no 100000 seeds"):
        Reasoning().seeds(Source(), 100_000, random.Random(0))
