"""The measurement of many experts: what it asks for, and that the operator is left out and back."""

from __future__ import annotations

import many
from selfmoe.mixture.forward.kernels import native
from selfmoe.mixture.forward.kernels.native import choosing


def test_what_is_measured_is_there_once():
    asked = [(one.title, one.n) for one in many.measurements()]
    assert len(set(asked)) == len(asked)
    assert {one.systems for one in many.measurements()} == {many.SYSTEMS}


def test_rounds_without_the_operator_have_none_and_others_have_what_there_is():
    def seen() -> list[bool]:
        return [module.native().library is None for module in (native, choosing)]

    before = seen()
    assert many.without_native(seen)() == [True, True]
    assert seen() == before
