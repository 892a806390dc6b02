"""Stands between a run and a server: hands on what is asked and answered, and counts."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PATIENCE_S = 600


class Between(ThreadingHTTPServer):
    """Listens on a port of its own; used as a context manager it ends by itself.

    Args:
        least: Requests for fewer tokens are handed on and not counted.

    Attributes:
        to: Address of the server, to be changed when that is another one.
        handed: When the answer to each request was handed to the run, each time.
        open: Requests that are being answered.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, least: int = 1) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to, self.least = "", least
        self.handed: dict[str, list[float]] = defaultdict(list)
        self.open = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where the run asks."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answers(self) -> int:
        """Return how many answers were handed to the run."""
        with self.lock:
            return sum(map(len, self.handed.values()))

    def handle_error(self, *_: object) -> None:
        """Say nothing of a run that was killed while it was answered."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Between

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._hand(b"")

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.open += 1
        try:
            self._hand(self.rfile.read(int(self.headers["content-length"])))
        finally:
            with self.server.lock:
                self.server.open -= 1

    def _hand(self, body: bytes) -> None:
        """Answer as the server does; where it does not, or nobody waits, cut the connection."""
        self.close_connection = True
        with suppress(OSError, http.client.HTTPException):
            status, answer = self._asked(body)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            self.wfile.flush()
            self.close_connection = False
            if body and status == http.client.OK and _tokens(body) >= self.server.least:
                name = hashlib.sha256(self.path.encode() + body).hexdigest()
                with self.server.lock:
                    self.server.handed[name].append(time.monotonic())

    def _asked(self, body: bytes) -> tuple[int, bytes]:
        place = urlsplit(self.server.to)
        assert place.hostname is not None
        there = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE_S)
        try:
            headers = {"content-type": "application/json"}
            there.request(self.command, self.path, body or None, headers)
            answer = there.getresponse()
            return answer.status, answer.read()
        finally:
            there.close()


def _tokens(body: bytes) -> int:
    """Return how many tokens a request asks for, by whatever name."""
    asked = json.loads(body)
    return int(asked.get("max_tokens", asked.get("n_predict", 0)))
