"""How what goes wrong is told to clients: OpenAI's shape, our words, and nothing of the inside."""

from __future__ import annotations

import logging
from typing import Any

from starlette.responses import JSONResponse

from selfmoe.contracts.errors import DataError, NotSupportedError, SelfmoeError, UnknownNameError

LOG = logging.getLogger("selfmoe.serve")
_MISTAKES = (DataError, NotSupportedError, UnknownNameError)


class RefusalError(Exception):
    """Why a request is not answered.

    Args:
        status: Of HTTP.
        message: What is wrong, for the client.
        code: A word for it.
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    @property
    def body(self) -> dict[str, Any]:
        """Return it as OpenAI does."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        told = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return {"error": told}


def refused(error: BaseException) -> RefusalError:
    """Return what a client is told of an error; what is not its mistake is written to the log."""
    if isinstance(error, RefusalError):
        return error
    if isinstance(error, _MISTAKES):
        return RefusalError(400, str(error))
    if isinstance(error, SelfmoeError):
        LOG.error("%s", error)
        return RefusalError(500, str(error))
    LOG.error("a request failed", exc_info=error)
    return RefusalError(500, "the server failed; its log says why")


def refusal(error: BaseException, *, close: bool = False) -> JSONResponse:
    """Return the response to a request that is not answered.

    Args:
        error: Why.
        close: Whether the connection ends, because its body was not read.
    """
    told = refused(error)
    headers = {"connection": "close"} if close else {}
    if told.status in (429, 503):
        headers["retry-after"] = "1"
    if told.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(told.body, told.status, headers)
