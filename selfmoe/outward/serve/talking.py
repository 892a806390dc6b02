"""A conversation in a terminal, by the engine of the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from selfmoe.contracts.errors import DataError, unknown_name
from selfmoe.models.asking import chat_in
from selfmoe.outward.serve.answers import pieces
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.engine import Engine
from selfmoe.outward.serve.limits import Limits
from selfmoe.outward.serve.reading import Reader
from selfmoe.outward.serve.schema import ChatCompletion, Message
from selfmoe.outward.serve.systems import Systems
from selfmoe.outward.serve.text import Growing

HELP = """\
/system NAME         ask another system of the run
/expert NAME WEIGHT  weigh an expert: off, on, or a number; without a name all are on again
/trace               show or hide which expert each token went to
/new                 forget what was said
/help, /quit"""


class Piece(NamedTuple):
    """A part of an answer.

    Attributes:
        text: The part.
        expert: The expert that counted most when it was read, if that is traced and known.
    """

    text: str
    expert: int | None = None


@dataclass
class Talk:
    """A conversation.

    Attributes:
        systems: The systems of the run.
        system: The one that is asked.
        context: Longest prompt and answer together, in tokens.
        most: Longest answer, in tokens.
        experts: What experts are weighed by, of those that are not left as they are.
        traced: Whether it is shown where tokens go.
    """

    systems: Systems
    system: str
    context: int
    most: int
    experts: dict[str, float] = field(default_factory=dict)
    traced: bool = False
    said: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Get ready."""
        self._engine = Engine(self.systems, 1, lambda rows: None)
        self._reader = Reader(self.systems, self.system, Limits(self.context))

    @property
    def names(self) -> Sequence[str]:
        """The experts that the system routes to."""
        return self.systems.experts(self.system)

    def order(self, line: str) -> str:
        """Do what a line that begins with a slash says; return what there is to say.

        Raises:
            DataError: If it says nothing that can be done.
            UnknownNameError: If there is no such system or expert.
        """
        word, *given = line[1:].split()
        orders = {"system": self._to, "expert": self._weigh, "trace": self._trace, "new": self._new}
        if word == "help":
            return HELP
        if word not in orders:
            raise DataError(f"there is no /{word}\n{HELP}")
        return orders[word](given)

    def ask(self, text: str) -> Iterator[Piece]:
        """Yield the answer to what is said, as it is written.

        Raises:
            SelfmoeError: If it cannot be answered; then it counts as not said.
        """
        asked = [*self.said, Message(role="user", content=text)]
        [row] = self._reader.talk(
            ChatCompletion(
                model=self.system,
                messages=asked,
                temperature=0,
                max_tokens=self.most,
                experts=self.experts,
                trace=self.traced,
            )
        )
        self._engine.put(row)
        told = self._traced_pieces(row) if self.traced else self._pieces(row)
        answer = ""
        try:
            for piece in told:
                answer += piece.text
                yield piece
        finally:
            self._engine.drop(row)
        if chat_in(self.systems.base) is not None:
            self.said = [*asked, Message(role="assistant", content=answer)]

    # --- orders -----------------------------------------------------------------------------------

    def _to(self, given: Sequence[str]) -> str:
        if not given:
            return f"systems: {', '.join(self.systems.kinds)}"
        self.system = self.systems.named(given[0])
        self.experts = {}
        self.traced = self.traced and bool(self.names)
        return f"{self.systems.full(self.system)} answers"

    def _weigh(self, given: Sequence[str]) -> str:
        if not given:
            self.experts = {}
        elif given[0] not in self.names:
            raise unknown_name("expert", given[0], self.names)
        else:
            self.experts[given[0]] = _weight(given[1] if len(given) > 1 else "off")
        return ", ".join(f"{name} {self.experts.get(name, 1):g}" for name in self.names) or "none"

    def _trace(self, given: Sequence[str]) -> str:
        if not self.names:
            raise DataError(f"'{self.system}' routes no tokens; there is nothing to trace")
        self.traced = not self.traced
        return "tracing" if self.traced else "not tracing"

    def _new(self, given: Sequence[str]) -> str:
        self.said = []
        return "nothing was said"

    # --- writing ----------------------------------------------------------------------------------

    def _steps(self, row: Asked) -> Iterator[None]:
        while not row.ended:
            self._engine.step()
            yield
        if row.failed is not None:
            raise row.failed

    def _pieces(self, row: Asked) -> Iterator[Piece]:
        tokenizer = self.systems.base.tokenizer
        growing = Growing(tokenizer, ())
        for _ in self._steps(row):
            if not row.ended:
                yield Piece(growing.more(row.new))
        yield Piece(growing.end(row.ending.continuation(row, tokenizer).text))

    def _traced_pieces(self, row: Asked) -> Iterator[Piece]:
        """Yield every token once it is known where it went; the last one is never read."""
        shown = 0
        for _ in self._steps(row):
            read = sum(map(len, row.routes)) - len(row.prompt)
            while shown < min(read, row.said(len(row.new))):
                yield self._token(row, shown)
                shown += 1
        for place in range(shown, row.said(len(row.new))):
            yield self._token(row, place)

    def _token(self, row: Asked, place: int) -> Piece:
        before = [row.prompt[-1], *row.new[:place]][-1]
        [text] = pieces(self.systems.base.tokenizer, [row.new[place]], before)
        late = len(row.prompt) + place
        for route in row.routes:
            if late < len(route):
                return Piece(text, int(route[late].mean(0).argmax()))
            late -= len(route)
        return Piece(text)


def _weight(word: str) -> float:
    named = {"off": 0.0, "on": 1.0}.get(word)
    try:
        weight = float(word) if named is None else named
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 10:
        raise DataError(f"'{word}' is no weight: off, on, or a number from 0 to 10")
    return weight
