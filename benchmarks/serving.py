"""What a server bears: clients at once, tracing, and many requests of which some are broken.

``python benchmarks/serving.py RUN --system NAME [--requests 2000] [--out results/serving.json]``

It starts ``selfmoe serve`` on this machine and asks it over the loopback. Speed is that of the
likeliest tokens behind prompts that go on and on. The many requests draw, with a seed each. Broken
ones are cut connections, bodies that are too long, wrong JSON, unknown names, and lists of stop
strings that do not end; every other one must be answered, and alike whenever it is asked again.
Where one is not, it is told how near to another token its draw comes (`Continuation.margin`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from selfmoe.api.load import load_system
from selfmoe.contracts.randomness import derive
from selfmoe.models.generation import Sampling, generate
from selfmoe.pipeline.versions import versions
from speeds.machine import processor

PATH = "/v1/completions"
BROKEN, WARM = 0.05, 200
NEW = 128
STORY = "Name {n} seas and {m} lakes, and tell a long story of each of them: "
TASK = "Below is an instruction.\n\n### Instruction:\nName {n} seas.\n\n### Response:\n"


@contextmanager
def server(run: Path, batch: int, system: str) -> Iterator[tuple[str, psutil.Process]]:
    """Start a server, and yield its address and process."""
    command = [sys.executable, "-m", "selfmoe", "serve", str(run), "--port", "0"]
    command += ["--batch", str(batch), "--system", system]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if found := re.match(r"(http://\S+) answers", line):
                break
        else:
            raise SystemExit("the server did not start")
        try:
            yield found[1], psutil.Process(started.pid)
        finally:
            started.terminate()


def body(number: int, tokens: int, **more: Any) -> dict[str, Any]:
    return {"prompt": TASK.format(n=number), "max_tokens": tokens, "seed": number, **more}


def story(number: int, **more: Any) -> dict[str, Any]:
    prompt = STORY.format(n=number, m=number + 1)
    return {"prompt": prompt, "max_tokens": NEW, "temperature": 0, **more}


async def speed(address: str, clients: int, each: int, **more: Any) -> float:
    """Return tokens a second of so many clients that ask one after the other.

    Raises:
        SystemExit: If an answer ends by itself.
    """
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:

        async def ask(number: int) -> int:
            answers = [
                await client.post(PATH, json=story(each * number + n, **more)) for n in range(each)
            ]
            told = [one.raise_for_status().json()["usage"] for one in answers]
            if any(one["completion_tokens"] != NEW for one in told):
                raise SystemExit(f"not all answers have {NEW} tokens: {told}")
            return NEW * each

        begun = time.perf_counter()
        tokens = sum(await asyncio.gather(*map(ask, range(clients))))
        return tokens / (time.perf_counter() - begun)


async def speeds(address: str, rounds: int) -> dict[str, Any]:
    """Measure in turns, so that what else the machine does meets all alike."""
    await speed(address, 8, 1)
    found: dict[str, list[float]] = {"1": [], "8": [], "8 traced": []}
    for _ in range(rounds):
        found["1"].append(await speed(address, 1, 4))
        found["8"].append(await speed(address, 8, 2))
        found["8 traced"].append(await speed(address, 8, 2, trace=True))
    middle = {name: statistics.median(values) for name, values in found.items()}
    gains = [b / a for a, b in zip(found["1"], found["8"], strict=True)]
    costs = [1 - t / b for b, t in zip(found["8"], found["8 traced"], strict=True)]
    return {
        "tokens_per_second": middle,
        "gain_of_8_clients": statistics.median(gains),
        "cost_of_tracing": statistics.median(costs),
        "rounds": found,
    }


async def broken(client: httpx.AsyncClient, address: str, kind: int) -> int:
    """Send a request that cannot be answered; return the status, 0 for a connection that is cut."""
    if kind == 0:
        host, port = address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        text = json.dumps(body(1, 4000, stream=bool(random.getrandbits(1)))).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        await writer.drain()
        await asyncio.sleep(random.random() / 5)
        writer.close()
        return 0
    wrong: list[dict[str, Any]] = [
        {"content": b'{"prompt": "' + b"a" * 2**21 + b'"}'},
        {"content": b'{"prompt": "a", '},
        {"json": body(1, 8, model="demo/nobody")},
        {"json": body(1, 8, stop=[f"{n}" for n in range(5000)])},
        {"json": body(1, 8, experts={"nobody": 0})},
    ]
    headers = {"content-type": "application/json"}
    try:
        return (await client.post(PATH, headers=headers, **wrong[kind - 1])).status_code
    except (httpx.WriteError, httpx.ReadError):  # hung up before all of a long body was sent
        return 413


def drawn(seed: int) -> dict[str, Any]:
    return body(seed, 4 + seed % 13, n=1 + seed % 2)


def margins(run: Path, system: str, seeds: Iterable[int]) -> dict[int, float]:
    """Return how near to another token the draws of requests come."""
    base = load_system(run, system)
    found = {}
    for seed in seeds:
        asked = drawn(seed)
        own = [derive(seed, choice) if choice else seed for choice in range(asked["n"])]
        answers = generate(
            base.model,
            base.tokenizer,
            [asked["prompt"]] * len(own),
            max_new_tokens=asked["max_tokens"],
            sampling=Sampling(1.0, 1.0),
            seeds=own,
        )
        found[seed] = min(answer.margin for answer in answers)
    return found


async def load(address: str, process: psutil.Process, requests: int) -> dict[str, Any]:
    """Ask so many requests, 16 at once, and return what became of them."""
    luck = random.Random(0)
    lost: list[str] = []
    otherwise: list[int] = []
    refused: dict[str, int] = {}
    texts: dict[int, str] = {}
    waiting = list(range(requests))
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:

        async def good(number: int) -> None:
            seed = number % 50
            answer = await client.post(PATH, json=drawn(seed))
            if answer.status_code != 200:
                lost.append(f"{answer.status_code}: {answer.text[:200]}")
                return
            text = json.dumps([choice["text"] for choice in answer.json()["choices"]])
            if texts.setdefault(seed, text) != text:
                otherwise.append(seed)

        async def asking() -> None:
            while waiting:
                number = waiting.pop(0)
                if luck.random() < BROKEN:
                    status = str(await broken(client, address, luck.randrange(6)))
                    refused[status] = refused.get(status, 0) + 1
                else:
                    await good(number)

        begun = time.perf_counter()
        await asyncio.gather(*(asking() for _ in range(16)))
        seconds = time.perf_counter() - begun
        for _ in range(600):
            if not (await client.get("/health")).json()["answers"]:
                break
            await asyncio.sleep(0.1)
        left = (await client.get("/health")).json()["answers"]
    return {
        "requests": requests,
        "broken_by_status": dict(sorted(refused.items())),
        "good_lost": len(lost),
        "why": lost[:5],
        "otherwise": otherwise,
        "answers_left": left,
        "seconds": seconds,
        "rss": process.memory_info().rss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--system", required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with server(given.run, given.batch, given.system) as (address, process):
        found = {
            "processors": os.cpu_count(),
            "processor": processor(),
            "versions": versions(),
            "load_before": os.getloadavg()[0],
            "speed": asyncio.run(speeds(address, given.rounds)),
            "warming_up": (warm := asyncio.run(load(address, process, WARM))),
            "load": (whole := asyncio.run(load(address, process, given.requests))),
            "rss_growth": whole["rss"] / warm["rss"] - 1,
            "load_after": os.getloadavg()[0],
        }
    keep(found, given.out)
    odd = {*found["warming_up"]["otherwise"], *found["load"]["otherwise"]}
    found["margins"] = margins(given.run, given.system, sorted(odd)) if odd else {}
    keep(found, given.out)
    print(json.dumps(found, indent=1))


def keep(found: dict[str, Any], out: Path | None) -> None:
    """Write what was found to a file, if one is asked for."""
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
