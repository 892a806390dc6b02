"""The texts put to the base model and to the experts.

Three places: *brainstorm* (continue a numbered list of tasks), *respond* (answer a task after
solved ones, and after passages of domain text if there are any) and the template that experts are
trained on and asked with: that of Alpaca, the base's own chat template, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfmoe.contracts.records import Instruction, Rejected, Seed

ALPACA_HEADER = (
    "Below is an instruction that describes a task{pairing}. "
    "Write a response that appropriately completes the request.\n\n"
)
"""First line of the Stanford Alpaca template (https://github.com/tatsu-lab/stanford_alpaca)."""

ALPACA_PAIRING = ", paired with an input that provides further context"


def alpaca(task: Instruction) -> str:
    """Return the Alpaca prompt of a task, up to where the response begins."""
    header = ALPACA_HEADER.format(pairing=ALPACA_PAIRING if task.input else "")
    middle = f"### Input:\n{task.input}\n\n" if task.input else ""
    return f"{header}### Instruction:\n{task.instruction}\n\n{middle}### Response:\n"


def plain(task: Instruction) -> str:
    """Return a task with nothing around it; the response begins on a line of its own."""
    return f"{task.instruction}\n{task.input}\n" if task.input else f"{task.instruction}\n"


def turn(task: Instruction) -> str:
    """Return a task the way a user says it in a chat: its input stands behind a blank line."""
    return f"{task.instruction}\n\n{task.input}" if task.input else task.instruction


class ChatPrompt(str):
    """A prompt that a chat template wrote: nothing is put in front of it when it is encoded.

    What is made of it, such as a part, is a text like any other again.
    """

    __slots__ = ()


def task_block(instruction: str, text: str) -> str:
    """Return a task the way lists and few-shot prompts show it; an empty input leaves no line."""
    return f"Instruction: {instruction}" + (f"\nInput: {text}" if text else "")


@dataclass(frozen=True, slots=True)
class Prompts:
    """How a domain asks the base model for new tasks and for answers.

    Attributes:
        brainstorm_header: Opens the list of tasks.
        respond_header: Opens the solved examples; empty for none.
        stop: What ends a task or an answer.
    """

    brainstorm_header: str = "Here is a list of tasks."
    respond_header: str = ""
    stop: tuple[str, ...] = ("\n\n", "\nResponse:")

    @classmethod
    def for_domain(cls, description: str) -> Prompts:
        """Return prompts that name the domain, for base models that can make use of that."""
        return cls(
            brainstorm_header=(
                f"Here is a list of {description} tasks. They are varied, each can be solved from "
                "its own text, and no two are alike."
            ),
            respond_header=f"Here are {description} tasks with correct and complete responses.",
        )

    def brainstorm(self, seeds: Sequence[Seed]) -> str:
        """Return a numbered list of the seeds' tasks that breaks off where the next one begins."""
        blocks = [
            f"{number}. {task_block(seed.instruction, seed.input)}"
            for number, seed in enumerate(seeds, start=1)
        ]
        return "\n\n".join([self.brainstorm_header, *blocks, f"{len(seeds) + 1}. Instruction:"])

    def respond(
        self, seeds: Sequence[Seed], task: Instruction, passages: Sequence[str] = ()
    ) -> str:
        """Return solved seeds, then passages, then the task, up to where its response begins."""
        solved = [
            f"{task_block(seed.instruction, seed.input)}\nResponse: {seed.response}"
            for seed in seeds
        ]
        asked = f"{task_block(task.instruction, task.input)}\nResponse:"
        header = [self.respond_header] if self.respond_header else []
        shown = [f"Document: {passage}" for passage in passages]
        return "\n\n".join([*header, *solved, *shown, asked])


def parse_instruction(text: str) -> Instruction | Rejected:
    """Return the task that the model wrote after ``N. Instruction:``, or why it is none.

    Args:
        text: The continuation, cut at the stop string.
    """
    body = text.strip()
    if not body:
        return Rejected("empty")
    instruction, _, rest = body.partition("\nInput:")
    for marker in ("\nResponse:", "\nInstruction:", "\nInput:"):
        if marker in instruction or marker in rest:
            return Rejected("malformed")
    if not instruction.strip() or ("\nInput:" in body and not rest.strip()):
        return Rejected("incomplete")
    return Instruction(instruction.strip(), rest.strip())
