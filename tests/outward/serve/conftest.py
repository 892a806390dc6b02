"""A run of a random base with every kind of system, and a real server of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import selfmoe
from selfmoe.outward.opening import open_run

COMPOSE = {
    "mixse": {"router": "topk", "options": {"max_steps": 2, "lr": 0.5}},
    "seq": {"router": "sequence", "options": {"fit": "centroid"}},
    "oracle": {"router": "oracle"},
    "ties": {"merge": "ties"},
}


@pytest.fixture(scope="session")
def run(tmp_path_factory, tiny_base_folder, plugin_code) -> Path:
    """Return the folder of the run, called ``demo``."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    config = selfmoe.RunConfig(
        base=str(tiny_base_folder),
        plugin_dir=folder,
        domains=["anything", "whatever"],
        out=folder / "demo",
        seeds={"n": 6},
        brainstorm={"n": 4, "max_new_tokens": 8, "batch_size": 4},
        respond={"max_new_tokens": 8},
        specialise={"options": {"max_steps": 8, "lr": 0.05}},
        compose=COMPOSE,
        evaluate={"limit": 1, "base_shots": 0, "benchmarks": ["anything/mini"]},
    )
    return selfmoe.run(config).path


Serve = Callable[..., Any]


@contextmanager
def listening(run: Path, in_thread: Callable[..., Any], **wanted: Any) -> Iterator[str]:
    """Let a server of a run answer at the address that is yielded."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    from selfmoe.outward.serve.start import Wanted, _bound, serving, web_server

    how = Wanted(**{"system": "mixse", "port": 0, "batch": 4, **wanted})
    server = serving(open_run(run), how)
    started, sock = threading.Event(), _bound(how)
    server.ready = started.set
    with in_thread(web_server(server, how), sock) as address:
        assert started.wait(60)
        yield address


@pytest.fixture(scope="session")
def served(run, in_thread) -> Iterator[str]:
    """Return the address of a server of the run."""
    with listening(run, in_thread) as address:
        yield address


@pytest.fixture(scope="session")
def serve(run, in_thread) -> Serve:
    """Return what starts a server of the run with other limits: ``with serve(queue=1) as url``."""
    return lambda **wanted: listening(run, in_thread, **wanted)
