"""Starting a server of a run, and ending it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from selfmoe.contracts.errors import DataError
from selfmoe.models.generation.records import Row
from selfmoe.models.generation.room import rows_at_once
from selfmoe.outward.llama.client import LlamaServer
from selfmoe.outward.llama.deciding import Decider
from selfmoe.outward.opening import OpenRun
from selfmoe.outward.serve.app import Server, application
from selfmoe.outward.serve.elsewhere import LlamaWorker
from selfmoe.outward.serve.limits import LOOPBACK, Limits
from selfmoe.outward.serve.systems import Systems


@dataclass(frozen=True)
class Wanted:
    """How a run is to be served.

    Attributes:
        system: The system that is meant where a request names none; ``None``: the only one that
            routes.
        host: Where to listen.
        port: The same; 0 for any that is free.
        key: What clients must show; empty: nothing.
        context: Longest prompt and answer together; ``None``: as much as the base reads.
        batch: Most answers of a system at once; ``None``: as many as there is memory for, up to 16.
        queue: Most answers that wait besides.
        body: Longest request, in bytes.
        llama: Address of a llama-server that writes the answers; ``None``: the own engine does.
    """

    system: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    key: str = ""
    context: int | None = None
    batch: int | None = None
    queue: int = 256
    body: int = 2**20
    llama: str | None = None


_BATCH = 16


def serving(run: OpenRun, wanted: Wanted) -> Server:
    """Return a server of a run that answers nothing yet; its system is on the base.

    Args:
        run: The run.
        wanted: How it is to be served.

    Raises:
        RunError: If the system is not named and several are meant, or it was not made.
        UnknownNameError: If there is no such system.
        DataError: If the base does not read as much as is wanted.
        NotSupportedError: If a llama-server is to write, and the system weighs experts anew for
            tokens.
    """
    systems = Systems(run, run.load_base())
    default = systems.default() if wanted.system is None else systems.named(wanted.system)
    systems.load(default)
    base = systems.base
    context = base.context if wanted.context is None else wanted.context
    if context > base.context:
        raise DataError(f"--context {context}: the base reads {base.context} tokens at the most")
    if wanted.llama is not None:
        return _by_llama(systems, default, wanted, context)
    longest = [Row(n, [0] * context) for n in range(_BATCH)]
    batch = wanted.batch or rows_at_once(base.model, longest, 0)
    return Server(systems, default, Limits(context, batch, wanted.queue, wanted.body))


def _by_llama(systems: Systems, default: str, wanted: Wanted, context: int) -> Server:
    assert wanted.llama is not None
    address, decider = wanted.llama, Decider(systems.load(default), default)

    def writer(systems: Systems, slots: int, queue: int) -> LlamaWorker:
        return LlamaWorker(systems, LlamaServer(address), slots, queue, {default: decider})

    limits = Limits(context, wanted.batch or _BATCH, wanted.queue, wanted.body)
    return Server(systems, default, limits, writer)


def listen(server: Server, wanted: Wanted, ready: Callable[[str], None]) -> None:
    """Serve until somebody interrupts; then answers that are being written may end.

    Args:
        server: The server.
        wanted: How it is to be served.
        ready: Is told the address, once requests are answered.

    Raises:
        DataError: If the port cannot be had.
    """
    sockets = [_bound(wanted)]
    host, port = sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    server.ready = lambda: ready(f"http://{shown}:{port}")
    with suppress(KeyboardInterrupt):
        web_server(server, wanted).run(sockets=sockets)


def web_server(server: Server, wanted: Wanted) -> Any:
    """Return what speaks HTTP for a server; clients that do not leave are left after 30 seconds.

    Args:
        server: The server.
        wanted: How it is to be served.
    """
    import uvicorn

    config = uvicorn.Config(
        application(server, host=wanted.host, key=wanted.key),
        host=wanted.host,
        port=wanted.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        h11_max_incomplete_event_size=65536,
    )
    return uvicorn.Server(config)


def _bound(wanted: Wanted) -> Any:
    """Return the socket to listen on."""
    import socket

    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((wanted.host, wanted.port))
        found.listen()
    except OSError as error:
        found.close()
        raise DataError(
            f"cannot listen on {wanted.host}:{wanted.port}: {error.strerror or error}\n"
            "  Give another --port."
        ) from None
    return found


def is_open(host: str) -> bool:
    """Return whether others than this machine can ask a server that listens there."""
    return host not in LOOPBACK
