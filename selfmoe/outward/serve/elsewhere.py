"""Rows that a llama-server writes: what the worker does, without an engine of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from selfmoe.contracts.errors import NotSupportedError, RunError, unknown_name
from selfmoe.models.generation.stopping import ends_of
from selfmoe.outward.llama.client import LlamaServer, request
from selfmoe.outward.llama.deciding import Decider
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.systems import Systems
from selfmoe.outward.serve.worker import FullError, News


class LlamaWorker:
    """Lets a llama-server answer what an event loop asks; all methods are called in its thread.

    Args:
        systems: The systems of the run; of each that is asked our copy decides, and it writes none.
        server: The llama-server.
        slots: Most rows at once.
        queue: Most rows that wait besides.
        deciders: What weighs the experts of systems, as far as it is there.
    """

    def __init__(
        self,
        systems: Systems,
        server: LlamaServer,
        slots: int,
        queue: int,
        deciders: Mapping[str, Decider],
    ) -> None:
        self._systems, self._server, self._most = systems, server, slots + queue
        self._loop = asyncio.get_running_loop()
        self._turns, self._deciding = asyncio.Semaphore(slots), asyncio.Lock()
        self._deciders = dict(deciders)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ends = sorted(ends_of(systems.base.model, systems.base.tokenizer))

    @property
    def rows(self) -> int:
        """How many rows run or wait."""
        return len(self._tasks)

    def ask(self, rows: Sequence[Asked]) -> asyncio.Queue[News]:
        """Let rows be answered; return where there is news of them.

        Raises:
            FullError: If they are more than may wait.
            NotSupportedError: If something is asked that a llama-server does not tell.
        """
        if self.rows + len(rows) > self._most:
            raise FullError(f"{self.rows} answers are being written or wait")
        news: asyncio.Queue[News] = asyncio.Queue()
        for row in rows:
            _check(row)
        for row in rows:
            row.owner = news
            self._tasks[id(row)] = task = asyncio.create_task(self._write(row))
            task.add_done_callback(partial(self._forget, row))
        return news

    def _forget(self, row: Asked, _: Any) -> None:
        self._tasks.pop(id(row), None)

    def drop(self, rows: Iterable[Asked]) -> None:
        """Take rows out that nobody waits for any more."""
        for row in rows:
            row.owner = None
            if (task := self._tasks.get(id(row))) is not None:
                task.cancel()

    def stop(self) -> None:
        """End all rows; called from another thread than that of the loop."""
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(self.end(), self._loop).result(timeout=60)

    async def end(self) -> None:
        """End all rows, and leave the server."""
        for task in list(self._tasks.values()):
            task.cancel()
        await self._server.close()

    async def _write(self, row: Asked) -> None:
        try:
            async with self._turns:
                asked = request(list(row.prompt), row.most, await self.scales(row), _drawn(row))
                async for tokens, ended in self._server.write(asked):
                    self._take(row, [*tokens, *(self._ends[:1] if ended else [])])
                    if row.ended:
                        return
            raise RunError("the llama-server ended an answer before it was whole")
        except Exception as error:  # of the server, or of a router: its owner is told
            row.failed, row.ended = error, True
            self._tell(row)

    def _take(self, row: Asked, tokens: Sequence[int]) -> None:
        for token in tokens:
            if not row.ended:
                row.write(token)
        if row.ended or (row.streams and tokens):
            self._tell(row)

    def _tell(self, row: Asked) -> None:
        if row.owner is not None:
            row.owner.put_nowait(News(row, len(row.new), 0, row.ended))

    async def scales(self, row: Asked) -> dict[int, float]:
        """Return what every adapter of the server weighs for a row.

        Raises:
            RunError: If an expert is none of its adapters.
            NotSupportedError: If the system weighs experts anew for tokens.
            UnknownNameError: If the system has no expert that is to be switched.
        """
        numbers = await self._server.numbers()
        async with self._deciding:
            weights = await asyncio.to_thread(self._decided, row)
        for name in row.experts:
            if name not in weights:
                raise unknown_name("expert", name, weights)
        if lacking := [name for name in weights if name not in numbers]:
            raise RunError(
                f"the llama-server has no adapter '{lacking[0]}'\n  selfmoe export --format gguf "
                "writes it; start llama-server with --lora for every expert."
            )
        weighed = {name: row.experts.get(name, 1.0) * weight for name, weight in weights.items()}
        return {number: weighed.get(name, 0.0) for name, number in numbers.items()}

    def _decided(self, row: Asked) -> Mapping[str, float]:
        return self.decider(row.system).weights(list(row.prompt))

    def decider(self, system: str) -> Decider:
        """Return what weighs the experts of a system.

        Raises:
            NotSupportedError: If it weighs them anew for tokens.
        """
        if system not in self._deciders:
            self._deciders[system] = Decider(self._systems.load(system), system)
        return self._deciders[system]


def _check(row: Asked) -> None:
    """Refuse what a llama-server does not tell."""
    told = {"logprobs": row.tops is not None, "echo": row.scores, "trace": row.traced}
    if wanted := [name for name, asked in told.items() if asked]:
        raise NotSupportedError(f"{wanted[0]}: not with --engine llama.cpp")


def _drawn(row: Asked) -> dict[str, Any] | None:
    """Return how tokens are drawn, by llama.cpp's own numbers."""
    if row.sampling is None:
        return None
    seed = int((row.draws or [0.0])[0] * 2**31)
    return {"temperature": row.sampling.temperature, "top_p": row.sampling.top_p, "seed": seed}
