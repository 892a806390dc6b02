"""What is wrong is told in OpenAI's shape, by name; what is too much is refused."""

from __future__ import annotations

import json
import socket
import time

import pytest

httpx = pytest.importorskip("httpx")
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]


def post(address, path, body, **more):
    headers = {"content-type": "application/json", **more}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(address + path, content=content, headers=headers, timeout=60)


SYSTEM = [{"role": "system", "content": "Be brief."}, *HELLO]
EARLIER = [*HELLO, {"role": "assistant", "content": "Hello."}, *HELLO]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (CHAT, b"{", 400, "the body is not JSON"),
        (CHAT, b"[" * 200_000, 400, "the body is not JSON"),
        (CHAT, b'{"temperature": NaN}', 400, "NaN is no JSON number"),
        (CHAT, [], 400, "the body is a list"),
        (CHAT, {"mesages": HELLO}, 400, "did you mean 'messages'?"),
        (CHAT, {"messages": []}, 400, "messages: List should have at least 1 item"),
        (CHAT, {"messages": SYSTEM}, 400, "messages.0: a system message ('system') has no place"),
        (CHAT, {"messages": EARLIER}, 400, "messages.0: an earlier turn ('user') has no place"),
        (CHAT, {"messages": EARLIER[:2]}, 400, "the last one is the assistant's"),
        (CHAT, {"messages": HELLO, "model": "demo/mixs"}, 404, "did you mean 'demo/mixse'"),
        (CHAT, {"messages": HELLO, "tools": [{}]}, 400, "tools: selfmoe does not offer that"),
        (CHAT, {"messages": HELLO, "temperature": 3}, 400, "temperature: "),
        (CHAT, {"messages": HELLO, "temperature": 1e-30}, 400, "temperature: "),
        (CHAT, {"messages": HELLO, "stop": [""]}, 400, "stop"),
        (CHAT, {"messages": HELLO, "stop": ["x"] * 5000}, 400, "stop"),
        (CHAT, {"messages": HELLO, "n": 10**9}, 400, "n: "),
        (CHAT, {"messages": HELLO, "max_tokens": 2048}, 400, "but 2048 are read at the most"),
        (TEXT, {"prompt": "a " * 4000}, 400, "the prompt has 8"),
        (TEXT, {"prompt": ""}, 400, "the prompt is empty"),
        (TEXT, {"prompt": [2**31 - 1]}, 400, "a token of the tokenizer but not of the model"),
        (TEXT, {"prompt": ["a"] * 500}, 400, "500 answers are asked for at once"),
        (TEXT, {"prompt": "a", "max_tokens": 0}, 400, "max_tokens"),
        (TEXT, {"prompt": "\ud800"}, 400, "not UTF-8"),
        ("/v1/embeddings", {}, 404, "there is nothing here"),
    ],
)
def test_mistakes(served, path, body, status, words):
    answer = post(served, path, body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert "Traceback" not in answer.text


def test_long_bodies_are_refused_before_they_are_read(serve):
    with serve(body=2000) as address:
        assert post(address, TEXT, {"prompt": "a" * 3000}).status_code == 413
        parts = (b'{"prompt": "', *[b"a" * 500] * 20, b'"}')
        headers = {"content-type": "application/json"}
        sent = httpx.post(address + TEXT, content=iter(parts), headers=headers)
        assert sent.status_code == 413
        assert post(address, TEXT, {"prompt": "a", "max_tokens": 1}).status_code == 200


def test_who_may_ask(serve):
    with serve(key="secret") as address:
        asked = {"prompt": "a", "max_tokens": 1}
        assert post(address, TEXT, asked).status_code == 401
        assert post(address, TEXT, asked, authorization="Bearer secre").status_code == 401
        assert post(address, TEXT, asked, authorization="Bearer secret").status_code == 200
        assert post(address, TEXT, asked, **{"content-type": "text/plain"}).status_code == 401
        assert httpx.get(address + "/health").status_code == 200


def test_no_page_of_another_site_can_ask(served):
    asked = {"prompt": "a", "max_tokens": 1}
    assert post(served, TEXT, asked, host="evil.example").status_code == 403
    assert post(served, TEXT, asked, **{"content-type": "text/plain"}).status_code == 415
    assert "access-control-allow-origin" not in post(served, TEXT, asked).headers


def test_more_than_may_wait_is_told_to_come_again(serve, monkeypatch):
    from selfmoe.models.generation.open import Coming

    plain = Coming.step
    monkeypatch.setattr(Coming, "step", lambda self: (time.sleep(0.02), plain(self)))
    with serve(queue=2, batch=1) as address:
        raw = [hold(address, {"prompt": "a", "max_tokens": 1500, "stream": True, "seed": 2})]
        raw += [hold(address, {"prompt": "b", "max_tokens": 500, "n": 2, "seed": 2})]
        full = post(address, TEXT, {"prompt": "c", "max_tokens": 1})
        assert (full.status_code, full.headers["retry-after"]) == (429, "1")
        assert full.json()["error"]["code"] == "queue_full"
        for one in raw:
            one.close()
        wait_until(lambda: httpx.get(address + "/health").json()["answers"] == 0)
        assert post(address, TEXT, {"prompt": "c", "max_tokens": 1}).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("system", ["mixse", "seq"])
def test_a_client_that_leaves_frees_its_place(served, stream, system, monkeypatch):
    from selfmoe.models.generation.records import Row

    plain, written = Row.write, []
    monkeypatch.setattr(Row, "write", lambda row, token: (written.append(token), plain(row, token)))
    asked = {"prompt": "a", "max_tokens": 1900, "model": system, "seed": 1, "n": 8}
    whole = post(served, TEXT, asked).json()["usage"]["completion_tokens"]
    assert len(written) == whole
    written.clear()
    with hold(served, {**asked, "stream": stream}):
        pass
    wait_until(lambda: httpx.get(served + "/health").json()["answers"] == 0)
    assert post(served, TEXT, {"prompt": "c", "max_tokens": 1, "model": system}).status_code == 200
    assert len(written) < whole


def test_a_system_that_fails_takes_nobody_else_along(serve, monkeypatch):
    from selfmoe.models.generation.open import Coming

    plain = Coming.step
    failing = [True]

    def step(self):
        if failing:
            failing.clear()
            raise RuntimeError("secret of the inside")
        plain(self)

    with serve() as address:
        monkeypatch.setattr(Coming, "step", step)
        failed = post(address, TEXT, {"prompt": "a", "max_tokens": 2})
        assert (failed.status_code, "inside" in failed.text) == (500, False)
        assert post(address, TEXT, {"prompt": "a", "max_tokens": 2}).status_code == 200


def test_a_server_that_ends_says_so(serve):
    with serve() as address:
        one = hold(address, {"prompt": "a", "max_tokens": 300, "stream": True, "seed": 1})
        one.recv(100)
    one.settimeout(20)
    while one.recv(65536):
        pass


def hold(address: str, body: dict) -> socket.socket:
    """Ask and do not wait for the answer."""
    host, port = address.removeprefix("http://").split(":")
    one = socket.create_connection((host, int(port)))
    content = json.dumps(body).encode()
    head = f"POST {TEXT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    one.sendall(head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
    wait_until(lambda: httpx.get(address + "/health").json()["answers"] > 0)
    return one


def wait_until(true, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
