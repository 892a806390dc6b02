"""How a base is asked for answers: after solved tasks, in the layout of its run.

In a chat, solved tasks are turns of user and assistant that came before, and what else is shown
stands in front of the user's words. Elsewhere all of it is one text that the base continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfmoe.contracts.prompts import Prompts, turn
from selfmoe.contracts.records import Instruction, LoadedBase, Seed
from selfmoe.models.asking import chat_in
from selfmoe.models.chat import Chat


@dataclass(frozen=True)
class Answering:
    """Asks for answers.

    Attributes:
        prompts: The domain's.
        chat: The base's chat template, where it is asked in that.
    """

    prompts: Prompts
    chat: Chat | None = None

    @classmethod
    def of(cls, prompts: Prompts, base: LoadedBase) -> Answering:
        """Return how a base is asked in the template of its run."""
        return cls(prompts, chat_in(base))

    @property
    def stop(self) -> Sequence[str]:
        """Return the strings that end an answer; a turn in a chat ends by its own token alone."""
        return self.prompts.stop if self.chat is None else ()

    @property
    def ends(self) -> Sequence[int]:
        """Return the tokens that end an answer besides those by which the model ends texts."""
        return () if self.chat is None else (self.chat.end,)

    def __call__(
        self, solved: Sequence[Seed], task: Instruction, passages: Sequence[str] = ()
    ) -> str:
        """Return solved seeds, then passages, then the task, up to where its response begins.

        Raises:
            DataError: If the base's chat template refuses the turns.
        """
        if self.chat is None:
            return self.prompts.respond(solved, task, passages)
        before = [(turn(Instruction(s.instruction, s.input)), s.response) for s in solved]
        if before and self.prompts.respond_header:
            (question, answer), *others = before
            before = [(f"{self.prompts.respond_header}\n\n{question}", answer), *others]
        shown = [f"Document: {passage}" for passage in passages]
        return self.chat.prompt("\n\n".join([*shown, turn(task)]), before)
