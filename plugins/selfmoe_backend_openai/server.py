"""A server at work: many requests side by side, tried again by OpenAI's own client."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import openai
from anyio import create_task_group
from anyio.from_thread import start_blocking_portal

from selfmoe.contracts import Asked, LoadedBase, Manner, StageError, Writer, Written
from selfmoe_backend_openai.pace import Pace
from selfmoe_backend_openai.ways import WAYS, Json, Way, Words, likelihood, scoring

Read = TypeVar("Read")

_PROBE = "1, 2, 3, 4,"
_BUSY = (408, 409, 429)


class Server(Writer):
    """A server that has the base.

    Args:
        options: Where it is, and how it is asked.
        base: The base.

    Attributes:
        way: How it is asked.

    Raises:
        StageError: If it cannot be asked in any way.
    """

    part = 512

    def __init__(self, options: Any, base: LoadedBase) -> None:
        self._options, self._pace = options, Pace(options.concurrency)
        self.name = f"the server at {options.base_url}, model '{options.model}',"
        self.way = self._way(base)

    def write(
        self, asked: Sequence[Asked], manner: Manner, told: Callable[[int, Written], None]
    ) -> Sequence[Written]:
        """Return what is written after each text; see ``Writer.write``."""
        return self._asked(self.way, asked, manner, told)

    def score(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        told: Callable[[int, float], None],
    ) -> Sequence[float]:
        """Return how likely the second tokens of each pair are; see ``Writer.score``."""
        known = [(tuple(prompt), tuple(answer)) for prompt, answer in pairs]
        bodies = [scoring(self._options.model, *pair) for pair in known]

        def read(number: int, found: Any) -> float:
            prompt, answer = known[number]
            return likelihood(found, len(prompt), len(answer), self.name)

        return self._all(f"{self._options.base_url}/completions", bodies, read, told)

    # --- in which way -----------------------------------------------------------------------------

    def _way(self, base: LoadedBase) -> Way:
        """Return the first way that the server understands."""
        ids = tuple(base.tokenizer(_PROBE).input_ids)
        why: StageError | None = None
        for way in (cls() for cls in WAYS):
            try:
                self._asked(way, [Asked(ids, _PROBE)], Manner(2), lambda *_: None)
                self._check_prompt(way, len(ids))
            except StageError as error:
                if _whatever_is_asked(error.__cause__):
                    raise
                why = why or error
            else:
                return way
        assert why is not None
        raise why

    def _check_prompt(self, way: Way, tokens: int) -> None:
        """Refuse a server that takes texts alone and reads other tokens than the base."""
        if not isinstance(way, Words):
            return
        body = way.body(self._options.model, Asked((), _PROBE), Manner(2))
        url = way.url(self._options.base_url)
        [counts] = self._all(
            url, [body], lambda _, found: found.get("usage") or {}, lambda *_: None
        )
        if (read := counts.get("prompt_tokens")) != tokens:
            raise StageError(
                f"{self.name} reads {_PROBE!r} as {read} tokens, the base as {tokens}\n"
                "  Let it load the tokenizer of the base, or take a server that takes tokens."
            )

    # --- requests ---------------------------------------------------------------------------------

    def _asked(
        self, way: Way, asked: Sequence[Asked], manner: Manner, told: Callable[[int, Written], None]
    ) -> list[Written]:
        bodies = [way.body(self._options.model, one, manner) for one in asked]
        url = way.url(self._options.base_url)
        return self._all(url, bodies, lambda _, found: way.read(found), told)

    def _all(
        self,
        url: str,
        bodies: Sequence[Json],
        read: Callable[[int, Any], Read],
        told: Callable[[int, Read], None],
    ) -> list[Read]:
        """Return what is read of the answers to all requests; the first that fails ends all."""
        with start_blocking_portal() as portal:  # a caller may have an event loop of its own
            found = portal.call(self._gathered, url, bodies, read, told)
        if failed := [error for error in found.values() if isinstance(error, Exception)]:
            raise failed[0] from failed[0].__cause__
        return [found[number] for number in range(len(bodies))]

    async def _gathered(
        self,
        url: str,
        bodies: Sequence[Json],
        read: Callable[[int, Any], Any],
        told: Callable[[int, Any], None],
    ) -> dict[int, Any]:
        """Return what is read of each answer, or why there is none."""
        found: dict[int, Any] = {}
        limiter = self._pace.limiter()

        async def one(number: int, body: Json) -> None:
            async with limiter:
                try:
                    answer = await client.post(url, cast_to=object, body=body)
                    found[number] = read(number, answer)
                except Exception as error:
                    found[number] = self._said(error)
                    group.cancel_scope.cancel()
                    return
                try:
                    told(number, found[number])
                except Exception as error:  # not the server's
                    found[number] = error
                    group.cancel_scope.cancel()

        async with self._client() as client, create_task_group() as group:
            for number, body in enumerate(bodies):
                group.start_soon(one, number, body)
        return found

    def _client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self._options.base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            timeout=self._options.timeout,
            max_retries=self._options.retries,
            http_client=_Watching(self._pace),
        )

    def _said(self, error: Exception) -> Exception:
        """Return what went wrong as an error that is written for the user."""
        tries = (
            f"after {1 + self._options.retries} tries" if self._options.retries else "when asked"
        )
        kept = "What was written is kept; run the same command again to go on."
        if isinstance(error, openai.APIConnectionError):
            why = error.__cause__ or error
            said = f"{self.name} gives no answer {tries}: {type(why).__name__}: {why}\n  {kept}"
        elif isinstance(error, openai.APIStatusError):
            code = error.status_code
            what = f"{self.name} answers {code}"
            if code in (401, 403):
                said = f"{what}\n  Its key comes from the environment: OPENAI_API_KEY."
            elif code in _BUSY or code >= 500:
                said = f"{what} {tries}: {_message(error)}\n  {kept}"
            else:
                said = f"{what}: {_message(error)}"
        elif isinstance(error, LookupError | TypeError | ValueError):
            said = f"{self.name} does not answer as OpenAI's protocol has it: {error!r}"
        else:
            return error
        failed = StageError(said)
        failed.__cause__ = error
        return failed


class _Watching(openai.DefaultAsyncHttpxClient):
    """A client that lets a pace know what becomes of requests, each try of one counted."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    async def send(self, request: Any, **how: Any) -> Any:
        """Send a request; see ``httpx.AsyncClient.send``."""
        try:
            response = await super().send(request, **how)
        except Exception:
            self._pace.refused()
            raise
        if response.status_code in _BUSY or response.status_code >= 500:
            self._pace.refused()
        else:
            self._pace.went()
        return response


def _whatever_is_asked(error: BaseException | None) -> bool:
    """Return whether a server would have answered no other request either."""
    code = error.status_code if isinstance(error, openai.APIStatusError) else 0
    return isinstance(error, openai.APIConnectionError) or code in (*_BUSY, 401, 403)


def _message(error: openai.APIStatusError) -> str:
    body: Any = error.body
    told = body.get("message") if isinstance(body, Mapping) else None
    return " ".join(str(told or error.message).split())[:300]
