"""The chat template of a base: what stands around the words of user and assistant.

It is tried out once on a short conversation. What it does there is done to every prompt and answer:
prompts are what it writes before the assistant's words, and an answer ends with what it ends an
assistant's turn with. A template for which these cannot be told is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.models.chat_dates import dated
from selfmoe.models.tokens import text_ids

Turns = Sequence[tuple[str, str]]
"""What a user said and an assistant answered, turn by turn."""

_ASKED, _TOLD, _AGAIN = "Where are the 12 herons?", "They are by the lake.", "Who has seen them?"


@dataclass(frozen=True)
class Chat:
    """A chat template at work.

    Attributes:
        tokenizer: Whose it is.
        source: The template.
        opening: What it leaves out of prompts though it stands before all answers; mostly nothing.
        lead: What stands between a prompt and the assistant's words, such as a space; the assistant
            has to write it.
        closing: What stands behind these words, up to the token that ends the turn.
        end: That token.
    """

    tokenizer: Any
    source: str
    opening: str = ""
    lead: str = ""
    closing: str = ""
    end: int = -1

    def prompt(self, question: str, before: Turns = ()) -> ChatPrompt:
        """Return what is said to a user, up to where the assistant's words begin.

        Args:
            question: The user's words.
            before: Earlier turns.

        Raises:
            DataError: If the template refuses it.
        """
        asked = self.written(_messages(before, question), answered=False)
        return ChatPrompt(asked + self.opening)

    def answer(self, text: str) -> str:
        """Return how an answer goes on behind a prompt, without what ends it."""
        return self.lead + text

    def answer_ids(self, prompt: str, text: str) -> list[int]:
        """Return the tokens of an answer behind a prompt, with what ends the turn."""
        whole = f"{self.lead}{text}{self.closing}"
        return text_ids(self.tokenizer, whole, after=prompt)

    def written(self, messages: list[dict[str, str]], *, answered: bool) -> str:
        """Return what the template makes of messages; where nobody answered, it asks for that.

        Raises:
            DataError: If it refuses them.
        """
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    chat_template=self.source,
                    tokenize=False,
                    add_generation_prompt=not answered,
                )
            )
        except Exception as error:  # templates are programs of others
            _refuse(f"fails on {_roles(messages)}: {type(error).__name__}: {error}")


def chat_of(tokenizer: Any) -> Chat:
    """Return the chat template of a tokenizer; tried out when it is asked for first.

    Raises:
        DataError: If there is none, or it cannot be told what it does.
    """
    source = source_of(tokenizer)
    key = (id(tokenizer), source)
    if key not in _CHATS:
        _CHATS[key] = _tried(tokenizer, dated(source))
    return _CHATS[key]


_CHATS: dict[tuple[int, str], Chat] = {}  # a chat holds its tokenizer, so no other gets its id


def source_of(tokenizer: Any) -> str:
    """Return the text of a tokenizer's chat template, of several the default one.

    Raises:
        DataError: If there is none.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise DataError("the base has no chat template\n  Set prompts.template to alpaca or plain.")
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:  # several, none of them the default
        _refuse(f"cannot be chosen: {error}")


def hash_of_source(source: str) -> str:
    """Return the first 10 hex digits of the sha256 of a template."""
    return hashlib.sha256(source.encode()).hexdigest()[:10]


def _tried(tokenizer: Any, source: str) -> Chat:
    """Return a chat with what is found out about its template."""
    bare = Chat(tokenizer, source)
    asked = bare.written(_messages((), _ASKED), answered=False)
    silent = bare.written(_messages((), _ASKED), answered=True)
    told = bare.written(_messages(((_ASKED, _TOLD),)), answered=True)
    again = bare.written(_messages(((_ASKED, _TOLD),), _AGAIN), answered=False)
    _check_shown(asked, _ASKED)
    _check_shown(told, _ASKED, _TOLD)
    _check_shown(again, _ASKED, _TOLD, _AGAIN)
    front, _, behind = told.partition(_TOLD)
    following = again.partition(_TOLD)[2].partition(_AGAIN)[0]
    opening, lead = _before_answers(asked, front, silent=asked == silent)
    closing = _closing(tokenizer, behind) or _closing(tokenizer, following)
    if closing is None:
        _refuse(
            f"ends an answer with {behind!r}, in which no special token of the tokenizer stands, "
            "so nothing would end what is generated"
        )
    return _ended(Chat(tokenizer, source, opening, lead, closing))


def _before_answers(asked: str, front: str, *, silent: bool) -> tuple[str, str]:
    """Return the opening and the lead of a template; see ``Chat``.

    Args:
        asked: What it makes of a question that is to be answered.
        front: What stands before the answer to that.
        silent: Whether it makes the same of a question that is not to be answered.
    """
    if not front.startswith(asked):
        _refuse(
            f"asks with {asked[-40:]!r} and puts answers behind {front[-40:]!r}, so it cannot be "
            "told how an answer begins"
        )
    between = front[len(asked) :]
    return (between, "") if silent and between.strip() else ("", between)


def _ended(chat: Chat) -> Chat:
    """Return a chat with the token that ends answers."""
    end = chat.answer_ids(chat.prompt(_ASKED), _TOLD)[-1]
    if end not in {number for _, number in _special(chat.tokenizer)}:
        _refuse(f"ends an answer with {chat.closing!r}, which the tokenizer splits up")
    return replace(chat, end=int(end))


def _closing(tokenizer: Any, text: str) -> str | None:
    """Return a text up to its first special token, that included; ``None`` if it has none."""
    found = [
        (text.index(name), -len(name), name) for name, _ in _special(tokenizer) if name in text
    ]
    if not found:
        return None
    place, _, name = min(found)
    return text[: place + len(name)]


def _special(tokenizer: Any) -> Iterator[tuple[str, int]]:
    """Yield the special tokens and their ids."""
    known = getattr(tokenizer, "added_tokens_decoder", {})
    yield from ((token.content, number) for number, token in known.items() if token.special)
    yield from zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)


def _messages(turns: Turns, question: str | None = None) -> list[dict[str, str]]:
    said = [*(text for pair in turns for text in pair), *([] if question is None else [question])]
    return [
        {"role": "assistant" if place % 2 else "user", "content": text}
        for place, text in enumerate(said)
    ]


def _check_shown(text: str, *words: str) -> None:
    if missing := [one for one in words if text.count(one) != 1]:
        _refuse(f"does not show once, as it is, what is said: {missing[0]!r} became {text!r}")


def _roles(messages: Sequence[dict[str, str]]) -> str:
    return ", ".join(message["role"] for message in messages)


def _refuse(why: str) -> NoReturn:
    raise DataError(
        f"the base's chat template {why}\n"
        "  Set prompts.template to alpaca or plain, or mend the chat_template.jinja of the base."
    )
