"""Systems take turns: every one that is asked gives a token to each of its rows, then the next.

Rows of one system are read side by side, whatever they want of its experts; those of two systems
cannot be, for a forward runs one system. Nothing here waits or knows of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.mixture.handle import Mixture
from selfmoe.models.generation.continuous import About, nobody
from selfmoe.models.generation.open import Open, Waiting, open_batch
from selfmoe.models.tokens import padding
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.listening import Listening, check_told
from selfmoe.outward.serve.scoring import score
from selfmoe.outward.serve.systems import Systems

Tell = Callable[[Sequence[Asked]], None]
"""Takes rows that have a new token, have ended or failed."""


class Engine:
    """Answers what is asked of the systems of a run.

    Args:
        systems: The systems.
        slots: Most rows of one system at once.
        tell: Takes rows of which there is news.
        pulse: Is called before every token, so that rows can be put in and dropped.

    Attributes:
        systems: The systems.
    """

    def __init__(
        self, systems: Systems, slots: int, tell: Tell, pulse: Callable[[], None] = lambda: None
    ) -> None:
        self.systems, self._slots, self._tell, self._pulse = systems, slots, tell, pulse
        self._batches: dict[str, Open] = {}
        self._about: dict[str, About] = {}
        self._rows: dict[str, list[Asked]] = {}

    @property
    def rows(self) -> int:
        """How many rows run or wait."""
        return sum(map(len, self._rows.values()))

    def put(self, row: Asked) -> None:
        """Let a row wait for its turn."""
        try:
            batch = self._batch(row.system)
            self._check(row)
            if not row.scores:
                batch.put(row)
        except Exception as error:  # of a system that cannot be attached: others go on
            row.failed, row.ended = error, True
            self._tell([row])
        else:
            self._rows.setdefault(row.system, []).append(row)

    def drop(self, row: Asked) -> None:
        """Take a row out, before it has ended, too; nobody is told."""
        row.ended = True
        if row in (rows := self._rows.get(row.system, [])):
            rows.remove(row)
            self._batches[row.system].drop(row)

    def stop(self, why: Exception) -> None:
        """Let all rows fail."""
        for system in self._asked():
            self._fail(system, why)

    def step(self) -> None:
        """Give a token to every row that runs, system by system."""
        self._pulse()
        for system in self._asked():
            self._turn(system)

    def _check(self, row: Asked) -> None:
        mixture = self.systems.mixture(row.system)
        check_told(mixture, row.system, list(row.experts), row.domain, row.traced)
        if row.scores and mixture is not None and "prompt_mask" in mixture.needs:
            raise NotSupportedError(
                f"echo with logprobs: '{row.system}' decides from the prompt, and which part of "
                "the text that is cannot be told"
            )

    # --- one system -------------------------------------------------------------------------------

    def _asked(self) -> list[str]:
        return [name for name, rows in self._rows.items() if rows]

    def _turn(self, system: str) -> None:
        try:
            if not self._score(system) and self._batches[system].busy:
                self._batches[system].step()
        except Exception as error:  # of a model, a router or a library: nobody else shall suffer
            self._fail(system, error)
        else:
            self._news(system)

    def _score(self, system: str) -> bool:
        """Read a whole prompt whose own tokens are to be noted, if there is one that was not."""
        row = next((row for row in self._rows[system] if row.scores and row.prior is None), None)
        if row is None:
            return False
        row.prior = score(self.systems.load(system).model, self._about[system], row)
        if row.most:
            self._batches[system].put(row)
        else:
            row.ended = True
        return True

    def _news(self, system: str) -> None:
        """Tell of the rows of a system, and forget those that have ended."""
        rows = self._rows[system]
        news = [row for row in rows if row.ended or len(row.new) > row.seen]
        self._rows[system] = [row for row in rows if not row.ended]
        if news:
            self._tell(news)
        for row in news:
            row.seen = len(row.new)

    def _fail(self, system: str, error: Exception) -> None:
        rows, self._rows[system] = self._rows[system], []
        self._batches.pop(system).clear()
        for row in rows:
            row.failed, row.ended = error, True
        self._tell(rows)

    def _between(self, system: str) -> None:
        """Let other systems have their turn while the rows of one cannot come and go."""
        self._news(system)
        self._pulse()
        for other in self._asked():
            if other != system and not isinstance(self._batches[other], Waiting):
                self._turn(other)

    def _batch(self, system: str) -> Open:
        if system not in self._batches:
            base, mixture = self.systems.load(system), self.systems.mixture(system)
            about: About = nobody if mixture is None else Listening(mixture)
            self._about[system] = about
            with _some_domain(mixture):
                self._batches[system] = open_batch(
                    base.model,
                    padding(base.tokenizer),
                    self._slots,
                    about=about,
                    between=partial(self._between, system),
                )
        return self._batches[system]


def _some_domain(mixture: Mixture | None) -> Any:
    """Return what says a domain to a mixture that must be told one, while it is tried out."""
    needed = mixture is not None and "labels_at_inference" in mixture.needs
    return mixture.annotate(domain=mixture.experts[:1]) if mixture and needed else nullcontext()
