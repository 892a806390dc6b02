"""Random moments of the work: so many cells done, and so long after that.

The clock alone would not do: a run that goes on after a kill spends time on starting, and finds
cells done already.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Moment(NamedTuple):
    """A moment of the work.

    Attributes:
        cells: How many cells are done.
        seconds: How long they have been.
    """

    cells: int
    seconds: float


class Timeline(NamedTuple):
    """How an undisturbed run went on.

    Attributes:
        reached: When it had done 0, 1, 2, … cells, in seconds from the beginning of the work.
        end: When it ended, in the same.
    """

    reached: Sequence[float]
    end: float

    def at(self, seconds: float) -> Moment:
        """Return what the run had done so many seconds after it began."""
        cells = bisect_right(self.reached, seconds) - 1
        return Moment(cells, seconds - self.reached[cells])

    def anywhere(self, chance: random.Random) -> Moment:
        """Return a random moment."""
        return self.at(chance.uniform(0, self.end))

    def spread(self, number: int, chance: random.Random) -> list[Moment]:
        """Return random moments in order, one in each of as many equal parts of the time."""
        part = self.end / number
        return [self.at(part * (place + chance.random())) for place in range(number)]
