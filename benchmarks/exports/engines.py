"""An engine elsewhere: a process of another interpreter with vLLM and one model."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from exports import read_vllm

Json = dict[str, Any]
PREFILL, DECODE, ROUNDS = 64, 32, 9
"""Tokens of a prompt that is read, tokens that are written, and how often both are timed."""


class Engine:
    """vLLM with a model; a context manager.

    Args:
        python: The interpreter.
        model: Folder of the model.
        own: Whether a class of vLLM's own runs it, not its Transformers backend.
    """

    def __init__(self, python: Path, model: Path, *, own: bool = False) -> None:
        command = [
            str(python),
            str(read_vllm.__file__),
            str(model),
            "vllm" if own else "transformers",
        ]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # an unread pipe would stop it
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self._log, text=True
        )
        self.versions: Json = self._told()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._log.close()

    def ask(self, prompts: Sequence[Sequence[int]], new: int, ends: Sequence[int] = ()) -> Json:
        """Return the tokens that follow each prompt, and the seconds that took."""
        assert self._process.stdin is not None
        asked = {"prompts": [list(p) for p in prompts], "new": new, "ends": list(ends)}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return self._told()

    def _told(self) -> Json:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(self._log.read()[-3000:])
        found: Json = json.loads(line)
        return found


def timed(engines: Mapping[str, Engine], batch: int, vocabulary: int) -> Json:
    """Return how many tokens a second of the processor each engine reads and writes, in turns.

    Args:
        engines: The engines, ``base`` and ``mixture`` among them.
        batch: Prompts at once.
        vocabulary: Tokens are drawn below this.
    """
    drawn = torch.Generator().manual_seed(batch)
    shape = (batch, PREFILL)
    ids = torch.randint(3, vocabulary, shape, generator=drawn).tolist()
    rounds: list[Json] = []
    for number in range(ROUNDS + 1):
        row = {name: _once(engine, ids, number) for name, engine in engines.items()}
        rounds += [row] if number else []
    found: Json = {"rounds": rounds}
    for what in ("prefill", "decode"):
        tokens = batch * (PREFILL if what == "prefill" else DECODE)
        each = {n: [row[n][what] for row in rounds] for n in engines}
        found[what] = {n: tokens / statistics.median(seconds) for n, seconds in each.items()}
        ratios = [a / b for a, b in zip(each["base"], each["mixture"], strict=True)]
        found[what]["ratio"] = statistics.median(ratios)
        found[what]["ratios"] = ratios
    return found


def _once(engine: Engine, ids: list[list[int]], number: int) -> Json:
    """Return the processor's seconds that prompts take, and those of the tokens that follow."""
    fresh = [[3 + (token + number) % 200, *rest] for token, *rest in ids]
    read = engine.ask(fresh, 1)["cpu"]
    short = [prompt[:4] for prompt in fresh]
    return {"prefill": read, "decode": engine.ask(short, DECODE)["cpu"]}


def opened(stack: ExitStack, python: Path, mixture: Path, base: Path) -> dict[str, Engine]:
    """Return the mixture and its base in vLLM, and the base by vLLM's own class."""
    made = {
        "mixture": Engine(python, mixture),
        "base": Engine(python, base),
        "base, vLLM's own class": Engine(python, base, own=True),
    }
    return {name: stack.enter_context(engine) for name, engine in made.items()}
