"""The protocol: what is asked by HTTP becomes rows of the engine, and these become answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as Asking
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.elsewhere import LlamaWorker
from selfmoe.outward.serve.failures import RefusalError, refusal
from selfmoe.outward.serve.jobs import Chatting, Job, LeftError
from selfmoe.outward.serve.limits import Guard, Limits
from selfmoe.outward.serve.reading import Reader
from selfmoe.outward.serve.schema import ChatCompletion, Completion, Request, read
from selfmoe.outward.serve.systems import Systems
from selfmoe.outward.serve.worker import FullError, Worker
from selfmoe.reporting.html.chat import chat_page

Writer = Callable[[Systems, int, int], Worker | LlamaWorker]


class Server:
    """The systems of a run behind OpenAI's protocol.

    Args:
        systems: The systems.
        default: The one that is meant where a request names none.
        limits: What is allowed.
        writer: Makes what writes answers, of the systems, how many at once and how many may wait.

    Attributes:
        ready: Is called once requests are answered.
    """

    def __init__(
        self, systems: Systems, default: str, limits: Limits, writer: Writer = Worker
    ) -> None:
        self.systems, self.default, self.limits = systems, default, limits
        self._reader = Reader(systems, default, limits)
        self.ready: Callable[[], None] = lambda: None
        self._writer = writer
        self._worker: Worker | LlamaWorker | None = None

    @asynccontextmanager
    async def living(self, app: Any) -> AsyncIterator[None]:
        """Let the engine run while the server does."""
        self._worker = self._writer(self.systems, self.limits.batch, self.limits.queue)
        self.ready()
        try:
            yield
        finally:
            await asyncio.to_thread(self._worker.stop)

    @property
    def worker(self) -> Worker | LlamaWorker:
        """What writes the answers."""
        assert self._worker is not None
        return self._worker

    # --- routes -----------------------------------------------------------------------------------

    async def models(self, asking: Asking) -> Response:
        """Return the systems of the run."""
        known = [self._model(name) for name in self.systems.kinds]
        if (wanted := asking.path_params.get("model")) is None:
            return JSONResponse({"object": "list", "data": known})
        name = self.systems.full(self._reader.system(wanted))
        return JSONResponse(next(one for one in known if one["id"] == name))

    async def page(self, asking: Asking) -> Response:
        """Return the page to try the systems on."""
        turns, default = self.systems.base.template == "chat", self.systems.full(self.default)
        page, policy = chat_page(self.systems.name, default, turns=turns)
        return HTMLResponse(page, headers={"content-security-policy": policy})

    async def health(self, asking: Asking) -> Response:
        """Return that the server lives, and how many answers are on their way."""
        return JSONResponse({"status": "ok", "answers": self.worker.rows})

    async def completions(self, asking: Asking) -> Response:
        """Continue texts."""
        body = await asking.body()
        return await self._answer(asking, await asyncio.to_thread(self._texts, body))

    async def chat(self, asking: Asking) -> Response:
        """Answer a conversation."""
        body = await asking.body()
        return await self._answer(asking, await asyncio.to_thread(self._talk, body))

    def _model(self, name: str) -> dict[str, Any]:
        about = {"id": self.systems.full(name), "object": "model", "created": 0}
        kind, default = self.systems.kinds[name], name == self.default
        more = {"max_model_len": self.limits.context, "kind": kind, "default": default}
        return {**about, "owned_by": "selfmoe", **more, "experts": self.systems.experts(name)}

    def _texts(self, body: bytes) -> tuple[Request, Callable[..., Job], list[Asked]]:
        request = read(Completion, body)
        rows, echoed = self._reader.texts(request)
        return request, partial(Job, echoed=echoed), rows

    def _talk(self, body: bytes) -> tuple[Request, Callable[..., Job], list[Asked]]:
        request = read(ChatCompletion, body)
        return request, Chatting, self._reader.talk(request)

    # --- from rows to an answer -------------------------------------------------------------------

    async def _answer(
        self, asking: Asking, asked: tuple[Request, Callable[..., Job], list[Asked]]
    ) -> Response:
        request, kind, rows = asked
        system = rows[0].system
        try:
            news = self.worker.ask(rows)
        except FullError as error:
            raise RefusalError(429, f"{error}; try again later", "queue_full") from None
        experts = self.systems.experts(system)
        job = kind(rows, news, self.systems.base, self.systems.full(system), experts)
        gone = partial(_gone, asking)
        try:
            if not request.stream:
                return JSONResponse(await job.whole(gone))
            first = await job.first(gone)
        except BaseException as error:
            self.worker.drop(rows)
            if isinstance(error, LeftError):
                return Response(status_code=499)
            raise
        counts = request.stream_options is not None and request.stream_options.include_usage
        events = self._until_done(job, job.stream(first, gone, counts=counts))
        return StreamingResponse(events, media_type="text/event-stream", headers=_UNCACHED)

    async def _until_done(self, job: Job, events: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for event in events:
                yield event
        finally:
            self.worker.drop(job.rows)


_UNCACHED = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def application(server: Server, *, host: str, key: str = "") -> Any:
    """Return the ASGI application of a server.

    Args:
        server: The server.
        host: Where it will listen.
        key: What clients must show; empty: nothing.
    """
    routes = [
        Route("/", server.page),
        Route("/health", server.health),
        Route("/v1/models", _safely(server.models)),
        Route("/v1/models/{model:path}", _safely(server.models)),
        Route("/v1/completions", _safely(server.completions), methods=["POST"]),
        Route("/v1/chat/completions", _safely(server.chat), methods=["POST"]),
    ]
    handlers: Any = {404: _no_such_page, 405: _no_such_page, 500: _no_such_page}
    app = Starlette(routes=routes, lifespan=server.living, exception_handlers=handlers)
    return Guard(app, server.limits, host, key)


def _safely(route: Callable[[Asking], Awaitable[Response]]) -> Callable[[Asking], Any]:
    """Return a route whose errors are told in OpenAI's shape."""

    async def answered(asking: Asking) -> Response:
        try:
            return await route(asking)
        except Exception as error:
            return refusal(error, close=isinstance(error, RefusalError) and error.status == 413)

    return answered


async def _no_such_page(asking: Asking, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    what = f"{asking.method} {asking.url.path}" if status < 500 else "the server failed"
    return refusal(RefusalError(status, f"{what}: there is nothing here" if status < 500 else what))


async def _gone(asking: Asking) -> None:
    """Wait until a client has left."""
    while (await asking.receive())["type"] != "http.disconnect":
        pass
