"""What a server allows, and who may ask it at all."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from selfmoe.outward.serve.failures import RefusalError, refusal

Scope = dict[str, Any]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Limits:
    """What a server allows.

    Attributes:
        context: Longest prompt and answer together, in tokens.
        batch: Most answers of one system that are written at once.
        queue: Most answers that wait besides.
        body: Longest request, in bytes.
    """

    context: int
    batch: int = 16
    queue: int = 256
    body: int = 2**20


class Guard:
    """Lets pass what may pass: the right key, host and kind of body.

    A server that listens to this machine alone answers only who calls it by a name of this machine,
    and bodies must say that they are JSON: so no page of another site can ask it.

    Args:
        app: What is guarded.
        limits: What is allowed.
        host: Where the server listens.
        key: What clients must show; empty: nothing.
    """

    def __init__(self, app: Any, limits: Limits, host: str, key: str = "") -> None:
        self._app, self._limits, self._key = app, limits, key
        self._local = host in LOOPBACK

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        why = self._wrong(scope)
        if why is not None:
            await why(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _wrong(self, scope: Scope) -> Any:
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        if self._local and _name(headers.get("host", "")) not in LOOPBACK:
            return refusal(
                RefusalError(403, "this server is asked by a name of this machine alone")
            )
        if self._key and scope["path"].startswith("/v1/"):
            given = headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._key.encode()):
                return refusal(
                    RefusalError(401, "the API key is missing or wrong", "invalid_api_key")
                )
        if scope["method"] == "POST":
            if int(_digits(headers.get("content-length", "")) or 0) > self._limits.body:
                return refusal(self._too_long(), close=True)
            if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return refusal(RefusalError(415, "the body must be application/json"))
        return None

    def _counting(self, receive: Any) -> Any:
        """Return what receives a body that is not too long."""
        size = 0

        async def counted() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limits.body:
                raise self._too_long()
            return message

        return counted

    def _too_long(self) -> RefusalError:
        return RefusalError(413, f"the body is longer than {self._limits.body} bytes")


def _name(host: str) -> str:
    """Return the name of a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _digits(text: str) -> str:
    return text[:18] if text.isascii() and text.isdigit() else ""
