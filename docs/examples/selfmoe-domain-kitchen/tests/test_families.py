"""What no contract can know: that the answers are right."""

from __future__ import annotations

import operator
import random
import re

import pytest

from selfmoe_domain_kitchen.families import FAMILIES

RIGHT = {"portions": operator.mul, "oven": operator.add, "left": operator.sub}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_answers_are_right(family):
    for seed in range(50):
        problem = family.make(random.Random(seed))
        one, two = map(int, re.findall(r"\d+", problem.input))
        assert problem.answer == str(RIGHT[family.name](one, two))
