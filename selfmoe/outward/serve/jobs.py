"""A request on its way: its rows, what became of them, and its answer in JSON or as a stream."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from selfmoe.contracts.records import LoadedBase
from selfmoe.outward.serve.answers import Json, Noted, routing, usage
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.failures import LOG, refused
from selfmoe.outward.serve.text import Growing
from selfmoe.outward.serve.worker import News

Gone = Callable[[], Awaitable[Any]]
"""Ends when the client has left."""


class LeftError(Exception):
    """The client has left."""


class Job:
    """A request whose answers are being written.

    Args:
        rows: One for each choice.
        news: Where there is news of them.
        base: What wrote the prompts' tokens.
        model: The name by which the client knows the system.
        experts: Names of its experts, in the order of the routing.
        echoed: What stands before each answer.

    Attributes:
        rows: The same.
        tokenizer: Of the base.
    """

    kind, part, prefix = "text_completion", "text_completion", "cmpl"

    def __init__(
        self,
        rows: Sequence[Asked],
        news: asyncio.Queue[News],
        base: LoadedBase,
        model: str,
        experts: Sequence[str],
        echoed: Sequence[str] = (),
    ) -> None:
        self.rows, self._news, self.tokenizer = list(rows), news, base.tokenizer
        self._echoed = list(echoed) or [""] * len(self.rows)
        head = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "created": int(time.time())}
        self._head: Json = {**head, "model": model}
        if any(row.traced for row in rows):
            self._head["experts"] = list(experts)

    # --- whole ------------------------------------------------------------------------------------

    async def whole(self, gone: Gone) -> Json:
        """Return the answer when all of it is there.

        Raises:
            LeftError: If the client leaves before.
            Exception: If a row fails.
        """
        left = len(self.rows)
        while left:
            news = await self._next(gone)
            if news.row.failed is not None:
                raise news.row.failed
            left -= news.ended
        choices = [self._choice(number, row) for number, row in enumerate(self.rows)]
        return {"object": self.kind, **self._head, "choices": choices, "usage": usage(self.rows)}

    def _choice(self, number: int, row: Asked) -> Json:
        written = row.ending.continuation(row, self.tokenizer)
        shown = self.shown(row, row.said(len(row.new))) if row.tops is not None else None
        routes = routing(row.routes) if row.traced else {}
        reason = "stop" if written.finished else "length"
        said = self._said(number, written.text)
        ids = {"token_ids": list(row.new)} if row.told else {}
        return {
            "index": number,
            **said,
            "logprobs": shown,
            "finish_reason": reason,
            **ids,
            **routes,
        }

    def _said(self, number: int, text: str) -> Json:
        return {"text": self._echoed[number] + text}

    def shown(self, row: Asked, end: int, start: int = 0, offset: int = 0) -> Json:
        """Return the log-probabilities of some new tokens."""
        noted = Noted(self.tokenizer, row)
        return noted.in_text(start, end, echo=row.scores and not start, offset=offset)

    async def _next(self, gone: Gone) -> News:
        """Return the next news, unless the client leaves before."""
        if not self._news.empty():
            return self._news.get_nowait()
        news = asyncio.ensure_future(self._news.get())
        left = asyncio.ensure_future(gone())
        try:
            await asyncio.wait({news, left}, return_when=asyncio.FIRST_COMPLETED)
            if news.done():
                return news.result()
            raise LeftError
        finally:
            news.cancel()
            left.cancel()

    # --- in parts ---------------------------------------------------------------------------------

    async def first(self, gone: Gone) -> News:
        """Return the first news, so that what fails at once fails before a stream begins.

        Raises:
            LeftError: If the client leaves before.
            Exception: If a row fails.
        """
        news = await self._next(gone)
        if news.row.failed is not None:
            raise news.row.failed
        return news

    async def stream(self, first: News, gone: Gone, *, counts: bool) -> AsyncIterator[str]:
        """Yield server-sent events.

        Args:
            first: The first news.
            gone: Ends when the client has left.
            counts: Whether the last one says how many tokens there were.
        """
        parts = {id(row): Parts(self, number, row) for number, row in enumerate(self.rows)}
        for part in parts.values():
            if opening := part.opening():
                yield self._event([opening])
        news, left = first, len(self.rows)
        while True:
            if news.row.failed is not None:
                yield f"data: {json.dumps(refused(news.row.failed).body)}\n\n"
                break
            if (choice := parts[id(news.row)].more(news)) is not None:
                yield self._event([choice])
            left -= news.ended
            if not left:
                break
            try:
                news = await self._next(gone)
            except LeftError:
                LOG.info("a client has left")
                return
        if counts:
            yield self._event([], usage=usage(self.rows))
        yield "data: [DONE]\n\n"

    def _event(self, choices: Sequence[Json], **more: Any) -> str:
        told = {"object": self.part, **self._head, "choices": list(choices), **more}
        return f"data: {json.dumps(told)}\n\n"

    def delta(self, text: str) -> Json:
        """Return a piece of an answer."""
        return {"text": text}

    def opening(self, number: int) -> Json | None:
        """Return what stands before an answer, if something does."""
        return {"text": self._echoed[number]} if self._echoed[number] else None


class Chatting(Job):
    """A conversation whose answers are being written."""

    kind, part, prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def _said(self, number: int, text: str) -> Json:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def shown(self, row: Asked, end: int, start: int = 0, offset: int = 0) -> Json:
        """Return the log-probabilities of some new tokens."""
        return Noted(self.tokenizer, row).in_chat(start, end)

    def delta(self, text: str) -> Json:
        """Return a piece of an answer."""
        return {"delta": {"content": text}}

    def opening(self, number: int) -> Json | None:
        """Return what stands before an answer."""
        return {"delta": {"role": "assistant", "content": ""}}


class Parts:
    """One answer of a stream.

    Args:
        job: The request.
        number: Of the answer.
        row: Its row.
    """

    def __init__(self, job: Job, number: int, row: Asked) -> None:
        self._job, self._number, self._row = job, number, row
        self._text = Growing(job.tokenizer, row.ending.strings)
        self._told = self._heard = self._length = 0

    def opening(self) -> Json | None:
        """Return what stands before the answer, if something does."""
        said = self._job.opening(self._number)
        if said is None:
            return None
        return {"index": self._number, **said, "logprobs": None, "finish_reason": None}

    def more(self, news: News) -> Json | None:
        """Return what there is new of the answer, if a client can be told of it."""
        row, reason = self._row, None
        if news.ended:
            written = row.ending.continuation(row, self._job.tokenizer)
            text, reason = self._text.end(written.text), "stop" if written.finished else "length"
        else:
            text = self._text.more(row.new[: news.new])
        known = self._noted(row.said(news.new)) | self._routed(news.routes)
        if not (text or reason or known):
            return None
        self._length += len(text)
        extra = {"logprobs": None, "finish_reason": reason, **known}
        return {"index": self._number, **self._job.delta(text), **extra}

    def _noted(self, new: int) -> Json:
        if self._row.tops is None or new == self._told:
            return {}
        shown = self._job.shown(self._row, new, self._told, self._length)
        self._told = new
        return {"logprobs": shown}

    def _routed(self, routes: int) -> Json:
        if not self._row.traced or routes == self._heard:
            return {}
        shown = routing(self._row.routes[self._heard : routes])
        self._heard = routes
        return shown
