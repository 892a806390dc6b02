"""A run file for a tiny base, a real server of it, and a stand-in that fails as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.models.base import find_base, load_base
from selfmoe.outward.opening import open_run

SETTINGS: dict[str, Any] = {
    "domains": ["anything"],
    "preset": "demo",
    "dtype": "float32",
    "seeds": {"n": 6},
    "brainstorm": {"n": 6, "max_new_tokens": 12, "shots": 2, "batch_size": 4},
    "respond": {"shots": 1, "max_new_tokens": 12, "samples": 1},
    "specialise": {"options": {"max_steps": 2, "batch_size": 2, "r": 2}},
    "compose": {"ties": {"merge": "ties"}},
    "evaluate": {"limit": 2, "batch_size": 2, "base_shots": 0},
}


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> None:
    pytest.importorskip("openai")
    torch.set_num_threads(1)


@pytest.fixture(scope="package")
def settings(tmp_path_factory, tiny_base_folder, plugin_code) -> Callable[..., dict[str, Any]]:
    """Return what makes the settings of a run, with sections laid over them."""
    folder = tmp_path_factory.mktemp("backends")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)

    def make(out: Path | str, **sections: Any) -> dict[str, Any]:
        whole = {**SETTINGS, "base": str(tiny_base_folder), "plugin_dir": folder, "out": str(out)}
        return {**whole, **sections}

    return make


@pytest.fixture(scope="package")
def local(settings, tmp_path_factory) -> Path:
    """Return a run whose texts this process wrote."""
    return selfmoe.run(resolve(settings(tmp_path_factory.mktemp("local") / "demo"))).path


@pytest.fixture(scope="package")
def base(settings):
    """Return the base, loaded."""
    config = resolve(settings("unused"))
    return load_base(find_base(config), config)


@pytest.fixture(scope="package")
def served(local, in_thread) -> Iterator[str]:
    """Return the address of a real server of the base."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    from selfmoe.outward.serve.start import Wanted, _bound, serving, web_server

    how = Wanted(system="base", port=0, batch=4)
    server = serving(open_run(local), how)
    started, sock = threading.Event(), _bound(how)
    server.ready = started.set
    with in_thread(web_server(server, how), sock) as address:
        assert started.wait(60)
        yield f"{address}/v1"


Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]
"""What a stand-in answers to (path, body): a status and a body; status 0 cuts the connection."""


class StandIn(ThreadingHTTPServer):
    """A server that answers as it is told, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.asked = answer, list[tuple[str, dict[str, Any]]]()
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.asked.append((self.path, body))
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            status, said = self.server.answer(self.path, body)
        finally:
            with self.server.lock:
                self.server.at_once -= 1
        with suppress(BrokenPipeError, ConnectionResetError):  # a client that waits no more
            self._say(status, json.dumps(said).encode())

    def _say(self, status: int, text: bytes) -> None:
        self.send_response(status or 200)
        self.send_header("content-type", "application/json")
        self.send_header("retry-after-ms", "5")
        self.send_header("content-length", str(len(text) + (not status)))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = not status


@contextmanager
def standing_in(answer: Answer) -> Iterator[StandIn]:
    server = StandIn(answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stand_in() -> Callable[..., Any]:
    """Return ``with stand_in(answer) as server``."""
    return standing_in
