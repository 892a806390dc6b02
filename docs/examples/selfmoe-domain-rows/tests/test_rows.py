"""What no contract can know: that the answers are right, and what belongs to the field."""

from __future__ import annotations

import random
import re

import pytest
from selfmoe.contracts import Instruction, Rejected

from selfmoe_domain_rows import RowsDomain
from selfmoe_domain_rows.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_answers_go_on_as_the_row_does(family):
    for seed in range(50):
        problem = family.make(random.Random(seed))
        first, second, third, fourth = map(int, re.findall(r"\d+", problem.input))
        step = second - first
        assert third - second == fourth - third == step
        assert problem.answer == str(fourth + step)


def test_only_rows_are_taken_for_tasks_of_the_field():
    ours, other = "The row is 1, 2, 3, 4. Which number comes next?", "Double 3."
    assert RowsDomain().parse(f" Try.\nInput: {ours}") == Instruction("Try.", ours)
    assert RowsDomain().parse(f" Try.\nInput: {other}") == Rejected("about no row")
