"""From what a client sends to a prompt, in the template that the experts were trained with."""

from __future__ import annotations

from collections.abc import Sequence

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.asking import chat_in, prompt_of, task_in
from selfmoe.models.chat import Chat
from selfmoe.models.tokens import check_known, prompt_ids
from selfmoe.outward.serve.schema import Message


def conversation(messages: Sequence[Message], base: LoadedBase) -> str:
    """Return the prompt of a conversation.

    With a chat template it is what that writes. Without one, the last thing a user said is an
    instruction on its first line and the input behind it, and nothing else may have been said.

    Raises:
        DataError: If the last word is not the user's, there is no place for something that was
            said, or the base's chat template refuses it.
    """
    last = messages[-1]
    if last.role != "user":
        raise DataError(f"messages: the last one is the {last.role}'s; it must be the user's")
    if not last.text.strip():
        raise DataError("messages: the last one is empty")
    chat = chat_in(base)
    if chat is not None:
        return _in_chat(messages, chat)
    for number, message in enumerate(messages[:-1]):
        what = "an earlier turn" if message.role in ("user", "assistant") else "a system message"
        raise DataError(
            f"messages.{number}: {what} ('{message.role}') has no place in the template "
            f"'{base.template}' that the experts were trained with; send the last user message "
            "alone"
        )
    return prompt_of(task_in(last.text), base.tokenizer, base.template)


def _in_chat(messages: Sequence[Message], chat: Chat) -> ChatPrompt:
    said = [
        {"role": "system" if m.role == "developer" else m.role, "content": plain_lines(m.text)}
        for m in messages
    ]
    text = chat.written(said, answered=False)
    for number, message in enumerate(said):
        if message["content"].strip() not in text:
            raise DataError(
                f"messages.{number}: the base's chat template leaves out what the "
                f"{message['role']} says; send the conversation without it"
            )
    return ChatPrompt(text + chat.opening)


def encoded(
    prompt: str | Sequence[int], base: LoadedBase, context: int, new: int | None
) -> list[int]:
    """Return the tokens of a prompt that leaves room for its answer.

    Args:
        prompt: A text, or tokens, which are taken as they are.
        base: The base.
        context: Longest prompt and answer together, in tokens.
        new: Longest answer that is asked for; ``None``: what there is room for.

    Raises:
        DataError: If it is empty, too long, or holds a token that the base does not know.
    """
    ids = _tokens(prompt, base) if isinstance(prompt, str) else list(prompt)
    if not ids:
        raise DataError("the prompt is empty")
    check_known(base.tokenizer, base.model, ids)
    if len(ids) + (1 if new is None else new) > context:
        answer = "no room is left for an answer" if new is None else f"the answer may have {new}"
        raise DataError(
            f"the prompt has {len(ids)} tokens and {answer}, but {context} are read at the most; "
            "shorten the conversation or ask for fewer tokens"
        )
    return ids


def _tokens(prompt: str, base: LoadedBase) -> list[int]:
    try:
        prompt.encode()
    except UnicodeError:
        raise DataError("the prompt is not UTF-8 text") from None
    return prompt_ids(base.tokenizer, prompt)
