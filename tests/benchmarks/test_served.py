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


class Worker:
    """A run that answers arrive for while it goes on, and its server; notes what befalls it."""

    address = "there"

    def __init__(self, between, needs):
        self.between, self.needs, self.fate = between, needs, []

    def start(self):
        self.fate.append("start")

    def kill(self):
        self.fate.append("kill")

    def ended(self):
        if self.between.answers() >= self.needs:
            return 0
        self.between.handed[f"{self.between.answers()}"].append(-100.0)
        return None


def test_what_is_to_be_killed_is_and_no_more():
    with Between() as between:
        run, server = Worker(between, 30), Worker(between, 30)
        found = served.struck(run, server, between, [("run", 5), ("server", 5), ("run", 100)])
    assert run.fate == ["start", "kill", "start"]
    assert server.fate == ["start", "kill", "start"]
    assert [(fall["of"], fall["answers"]) for fall in found["falls"]] == [
        ("run", 5),
        ("server", 10),
    ]
    assert (found["answers"], found["made_twice"], found["unread"]) == (30, 0, 0)


def test_an_answer_that_a_run_had_and_is_handed_again_counts():
    with Between() as between:
        between.handed["old"] = [-100.0, -50.0]
        run = Worker(between, 3)
        assert served.struck(run, run, between, [])["made_twice"] == 1


def test_an_answer_handed_over_long_before_a_kill_was_read():
    assert served._unread(9.5, [10.0])
    assert not served._unread(5.0, [10.0])
    assert not served._unread(9.5, [])
