"""``selfmoe push`` against a stand-in for the hub on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Hub:
    """Takes what is sent.

    Attributes:
        address: Where it listens.
        made: What was asked to be made.
        files: What was committed, by path.
        tokens: The tokens it was shown.
    """

    def __init__(self, status: int = 200) -> None:
        self.made: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.paths: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({"id": "me/mixse", "siblings": []})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hub.tokens.add(self.headers.get("Authorization"))
                hub.paths.append(self.path)
                if self.path == "/api/repos/create":
                    hub.made.append(json.loads(body))
                    self.answer({"url": f"{hub.address}/me/mixse"})
                elif "/preupload/" in self.path:
                    wanted = [file["path"] for file in json.loads(body)["files"]]
                    plain = {"uploadMode": "regular", "shouldIgnore": False}
                    self.answer({"files": [{"path": path, **plain} for path in wanted]})
                elif "/commit/" in self.path:
                    hub.keep(body)
                    url = f"{hub.address}/me/mixse/commit/{'a' * 40}"
                    told = {"commitUrl": url, "commitOid": "a" * 40, "success": True}
                    self.answer(told, status)
                else:
                    self.answer({})

            def answer(self, value: dict[str, Any], code: int = 200) -> None:
                content = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *told: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keep(self, body: bytes) -> None:
        for line in body.splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                self.files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])


@pytest.fixture(params=[200])
def hub(request) -> Iterator[Hub]:
    found = Hub(request.param)
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "mixse"
    made.mkdir()
    (made / "README.md").write_text("---\ntags: [selfmoe]\n---\n# A mixture\n")
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def online(hub: Hub, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_mine", **more}


def test_a_folder_arrives_whole(command, hub, folder):
    done = command("push", str(folder), "me/mixse", **online(hub))
    assert done.returncode == 0, done.stderr
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert hub.tokens == {"Bearer hf_mine"}
    [made] = hub.made
    assert (made["name"], made["visibility"]) == ("mixse", "private")
    assert hub.address in done.stdout
    assert "names no licence" in done.stdout


def test_data_becomes_a_dataset(command, hub, folder):
    (folder / "model.safetensors").unlink()
    (folder / "data").mkdir()
    (folder / "data" / "math.jsonl").write_text("{}\n")
    done = command("push", str(folder), "me/mixse", "--public", **online(hub))
    assert done.returncode == 0, done.stderr
    [made] = hub.made
    assert (made["type"], made["visibility"]) == ("dataset", "public")
    assert any("/api/datasets/me/mixse/commit/" in path for path in hub.paths)


@pytest.mark.parametrize("hub", [403], indirect=True)
def test_a_refusal_is_said(command, hub, folder):
    done = command("push", str(folder), "me/mixse", **online(hub))
    assert done.returncode == 1
    assert "the hub did not take" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_token_nothing_is_sent(command, hub, folder):
    done = command("push", str(folder), "me/mixse", **online(hub, HF_TOKEN=""))
    assert (done.returncode, "HF_TOKEN is not set" in done.stderr) == (1, True)
    assert hub.paths == []


def test_what_is_no_export_is_refused(command, hub, tmp_path):
    done = command("push", str(tmp_path), "me/mixse", **online(hub))
    assert (done.returncode, "is no export" in done.stderr) == (1, True)
    assert hub.paths == []
