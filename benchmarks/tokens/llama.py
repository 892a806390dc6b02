"""Asks llama.cpp for tokens; runs in an interpreter that has the package xllamacpp.

`python llama.py MODEL OUT < texts.json` writes the tokens of each text. The package serves HTTP on
this machine only, and nothing else here needs it, so it lives in an environment of its own.
"""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any


def serve(model: str) -> Any:
    """Return a server of llama.cpp with a model."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.warmup, params.port = 64, 1, False, 0
    params.cpuparams.n_threads, params.verbosity = 1, -1
    return xllamacpp.Server(params)


def ask(line: HTTPConnection, text: str) -> list[int]:
    """Return the tokens of a text, those that open and end it included."""
    asked = {"content": text, "add_special": True, "parse_special": True}
    line.request("POST", "/tokenize", json.dumps(asked), {"Content-Type": "application/json"})
    tokens: list[int] = json.loads(line.getresponse().read())["tokens"]
    return tokens


def main() -> None:
    """Answer for all texts, and leave: the server has threads that do not end by themselves."""
    model, out = sys.argv[1:]
    texts = json.load(sys.stdin)
    server = serve(model)
    line = HTTPConnection(server.listening_address.removeprefix("http://"))
    found = [ask(line, text) for text in texts]
    Path(out).write_text(json.dumps({"xllamacpp": version("xllamacpp"), "tokens": found}))
    os._exit(0)


if __name__ == "__main__":
    main()
