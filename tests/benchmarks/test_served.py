"""What stands between a run and a server hands on, counts, and cuts what nobody answers."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

import served
from killing.between import Between


class _Echo(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503 if b"busy" in body else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{echo.server_address[1]}"
        echo.shutdown()


def asked(between, what):
    """Return the answer, once it is counted: the client may have it a moment before that."""
    whole = {"max_tokens": 20, **what}
    try:
        return httpx.post(f"{between.address}/v1/completions", json=whole, timeout=30)
    finally:
        due = time.monotonic() + 30
        while between.open and time.monotonic() < due:
            time.sleep(0.01)


def test_answers_are_handed_on_and_counted_by_request(server):
    with Between() as between:
        between.to = server
        for what in ({"prompt": [1]}, {"prompt": [2]}, {"prompt": [1]}):
            assert json.loads(asked(between, what).content) == {"max_tokens": 20, **what}
        assert sorted(map(len, between.handed.values())) == [1, 2]
        assert between.answers() == 3
        assert between.open == 0


def test_requests_for_few_tokens_are_not_counted(server):
    with Between(17) as between:
        between.to = server
        assert asked(between, {"prompt": [1], "max_tokens": 16}).status_code == 200
        assert not between.handed
        assert asked(between, {"prompt": [1], "max_tokens": 17}).status_code == 200
        assert between.answers() == 1


def test_a_refusal_is_handed_on_and_not_counted(server):
    with Between() as between:
        between.to = server
        assert asked(between, {"prompt": "busy"}).status_code == 503
        assert not between.handed


def test_a_server_that_is_gone_is_a_cut_connection_until_there_is_another(server):
    with Between() as between:
        between.to = "http://127.0.0.1:9"
        with pytest.raises(httpx.TransportError):
            asked(between, {"prompt": [1]})
        between.to = server
        assert asked(between, {"prompt": [1]}).status_code == 200
        assert between.answers() == 1


def test_an_answer_handed_over_long_before_a_kill_was_read():
    assert served._unread(9.5, [10.0])
    assert not served._unread(5.0, [10.0])
    assert not served._unread(9.5, [])
