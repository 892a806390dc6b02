"""Real servers of a base, each a process of another interpreter: started, waited for, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import httpx

from exports import base_gguf, llama_server
from selfmoe.contracts.records import LoadedBase

READY_S = 300
AT_ONCE = 8
"""Texts that llama.cpp's server writes at once."""


class Server:
    """A server that can be killed and started anew.

    Args:
        engine: ``vllm`` or ``llama.cpp``.
        python: An interpreter that has it.
        base: What it serves, under the name ``base``.
        folder: Where the base's files are.
        room: A folder for files of its own.

    Attributes:
        address: Where it answers.
    """

    def __init__(
        self, engine: str, python: Path, base: LoadedBase, folder: Path, room: Path
    ) -> None:
        self._engine, self._python, self._folder = engine, python, folder
        self._context = base.context
        self._log: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as it lives
        self._process: subprocess.Popen[str] | None = None
        if engine == "llama.cpp":
            self._folder = room / "base.gguf"
            base_gguf.write_base(base.model, base.tokenizer, self._folder)
        self.address = ""

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            SystemExit: If it does not.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            self._command(port),
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            text=True,
            env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1"},
            start_new_session=True,
        )
        due = time.monotonic() + READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > due:
                self._log.seek(0)
                raise SystemExit(self._log.read()[-3000:])
            time.sleep(1)

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/v1/models", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _command(self, port: int) -> list[str]:
        if self._engine == "llama.cpp":
            script = str(llama_server.__file__)
            options = [f"--port={port}", f"--parallel={AT_ONCE}"]
            return [str(self._python), script, *options, str(self._folder)]
        options_of: dict[str, Any] = {
            "served-model-name": "base", "port": port, "host": "127.0.0.1", "dtype": "float32",
            "max-model-len": self._context, "generation-config": "vllm",
        }  # fmt: skip
        told = [part for name, value in options_of.items() for part in (f"--{name}", str(value))]
        # Not by its command, which wants other metadata; whole prompts, as seeds ask for on CPUs.
        start = [str(self._python), "-m", "vllm.entrypoints.openai.api_server"]
        flags = ["--enforce-eager", "--no-enable-chunked-prefill"]
        return [*start, "--model", str(self._folder), *told, *flags]
