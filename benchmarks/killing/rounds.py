"""One run undisturbed, then the same one killed again and again until it is done."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from killing.moments import Moment, Timeline
from killing.processes import Start, check, follow, strike


class Fall(NamedTuple):
    """Where a kill fell.

    Attributes:
        stage: The stage that the run was at.
        moment: When it was killed.
    """

    stage: str
    moment: Moment


@dataclass
class Rounds:
    """What became of a run that was killed.

    Attributes:
        undisturbed: The folder of the run that nobody killed.
        timeline: How that one went on.
        killed: The folders of runs that were; one that ended before its next kill is followed by
            another.
        falls: Where the kills fell.
    """

    undisturbed: Path
    timeline: Timeline
    killed: list[Path] = field(default_factory=list)
    falls: list[Fall] = field(default_factory=list)


def kill_and_resume(start: Start, place: Path, kills: int, seed: int) -> Rounds:
    """Make a run undisturbed, then again while killing it, each time in the same folder.

    Args:
        start: Starts the run in a folder, or goes on with it.
        place: An empty folder; the run's is ``run`` in it while it goes on, since settings name it.
        kills: How many.
        seed: Decides when.

    Raises:
        RuntimeError: If a run fails that was not killed.
    """
    run, chance = place / "run", random.Random(seed)
    timeline = follow(start(run), run)
    rounds = Rounds(run.rename(place / "undisturbed"), timeline)
    due = timeline.spread(kills, chance)
    while due:
        moment = due.pop(0)
        stage = strike(start(run), run, moment)
        if stage is not None:
            rounds.falls.append(Fall(stage, moment))
        else:
            _set_aside(run, rounds)
            due.append(timeline.anywhere(chance))
    check(start(run))
    _set_aside(run, rounds)
    return rounds


def _set_aside(run: Path, rounds: Rounds) -> None:
    rounds.killed.append(run.rename(run.with_name(f"killed-{len(rounds.killed)}")))
