"""How a task is put to a base, and how an answer to it ends, in each of the templates."""

from __future__ import annotations

from typing import Any

from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.prompts import alpaca, plain, turn
from selfmoe.contracts.records import Example, Instruction, LoadedBase, Template
from selfmoe.models.chat import Chat, chat_of
from selfmoe.models.tokens import answered_ids, prompt_ids


def task_in(text: str) -> Instruction:
    """Return the task that a user writes: an instruction on the first line, its input behind it."""
    first, _, rest = plain_lines(text).strip().partition("\n")
    return Instruction(first.strip(), rest.strip())


def prompt_of(task: Instruction, tokenizer: Any, template: Template = "alpaca") -> str:
    """Return the prompt of a task, up to where the response begins.

    Raises:
        DataError: If the base's chat template is asked for and there is none, or it refuses.
    """
    if template == "chat":
        return chat_of(tokenizer).prompt(turn(task))
    return alpaca(task) if template == "alpaca" else plain(task)


def end_of(tokenizer: Any, template: Template = "alpaca") -> int:
    """Return the token that ends responses: that of an assistant's turn, or end-of-text.

    Raises:
        DataError: If the base's chat template is asked for and there is none, or it is refused.
    """
    return chat_of(tokenizer).end if template == "chat" else int(tokenizer.eos_token_id)


def chat_in(base: LoadedBase) -> Chat | None:
    """Return the chat template that tasks are put to a base in, if it is that."""
    return chat_of(base.tokenizer) if base.template == "chat" else None


def learned_ids(
    example: Example, tokenizer: Any, template: Template = "alpaca"
) -> tuple[list[int], int]:
    """Return the tokens of an example, and how many of them are its prompt's.

    The response is what the base would have to generate: the tokens that it wrote, where it did,
    and what ends it.

    Raises:
        DataError: If the base's chat template is asked for and there is none, or it refuses.
    """
    prompt = prompt_of(Instruction(example.instruction, example.input), tokenizer, template)
    end = end_of(tokenizer, template)
    if example.tokens:
        before = prompt_ids(tokenizer, prompt)
        return [*before, *example.tokens, end], len(before)
    if template == "chat" and not example.continuation:
        before = prompt_ids(tokenizer, prompt)
        return [*before, *chat_of(tokenizer).answer_ids(prompt, example.response)], len(before)
    ids, start = answered_ids(tokenizer, prompt, example.continuation or example.response)
    return [*ids, end], start
