"""A run whose data a real server writes, both killed: `benchmarks/served.py RUN.yaml`.

``--engine vllm --python PYTHON`` or ``--engine llama.cpp --python PYTHON``: the interpreter has
vLLM, or xllamacpp. Everything that brainstorm and respond write comes from it. At random moments
the run is killed, or the server, which is started anew, and the same command is given again. What
stands between them counts how often each answer was handed to the run: an answer that the run had
taken must not be asked for again, and every task must have one in the end. One that was
handed over within a second before the run was killed may not have been read yet. What both are
compared by at each start is not counted.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from exports.servers import Server
from keeping import beside_others
from killing.between import Between
from selfmoe.api.run import complete, from_yaml
from selfmoe.models.base import find_base, load_base
from selfmoe.models.remote.sameness import TOKENS
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import read_jsonl, write_json
from speeds.machine import processor

Json = dict[str, Any]
PATH = click.Path(path_type=Path)
CONCURRENCY = 64
PAUSE_S = 0.05
UNREAD_S = 1.0
"""How long before the run is killed an answer may be handed over and not read."""
PATIENCE_S = 3600


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
@click.option("--engine", type=click.Choice(("vllm", "llama.cpp")), required=True)
@click.option("--python", type=PATH, required=True, help="An interpreter with the engine.")
@click.option("--base", default="seedling", show_default=True, help="Base of the run.")
@click.option("--name", help="What the base is called in results; default: the same.")
@click.option("--set", "settings", multiple=True, help="Change a setting of RUN.yaml.")
@click.option("--kills", default=6, show_default=True, help="Of the run.")
@click.option("--server-kills", default=2, show_default=True, help="Of the server.")
@click.option("--apart", nargs=2, default=(40, 240), show_default=True, help="Answers between two.")
@click.option("--seed", default=0, show_default=True, help="Decides when.")
@click.option("--json", "target", type=PATH, help="Write JSON there; other engines' is kept.")
def command(
    file: Path,
    engine: str,
    python: Path,
    base: str,
    name: str | None,
    settings: Sequence[str],
    kills: int,
    server_kills: int,
    apart: tuple[int, int],
    seed: int,
    target: Path | None,
) -> None:
    """Kill run and server while the data of FILE is written, and see what is lost or made twice."""
    config = complete({**from_yaml(file), "base": base})
    files = find_base(config)
    loaded = load_base(files, config)
    with tempfile.TemporaryDirectory() as place, Between(TOKENS + 1) as between:
        server = Server(engine, python, loaded, files.path, Path(place))
        run = Run(Path(place, "run"), file, ["--base", base, *_set(settings)], between.address)
        chance = random.Random(seed)
        falls = chance.sample(["run"] * kills + ["server"] * server_kills, kills + server_kills)
        order = [(who, chance.randint(*apart)) for who in falls]
        begin = time.monotonic()
        try:
            found = struck(run, server, between, order)
        finally:
            run.kill()
            server.kill()
        seconds = round(time.monotonic() - begin, 1)
        row = {"engine": engine, "base": name or base, **found, **run.data(), "seconds": seconds}
    click.echo(str(row))
    if target is not None:
        facts = {
            "command": f"benchmarks/served.py {file.name} --json results/served.json",
            "concurrency": CONCURRENCY,
            "processor": processor(),
            "versions": versions(),
        }
        rows = beside_others(row, target, "engines", "engine", "base")
        write_json(target, {**facts, "engines": rows})
    lacking = row["instructions"] - row["responses"]
    if lacking or row["made_twice"] or len(row["falls"]) < len(falls):
        raise SystemExit(f"{lacking} responses are lacking, {row['made_twice']} were made twice")


def _set(settings: Sequence[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


class Run:
    """A run that a server writes for.

    Args:
        out: Its folder.
        file: Its settings.
        options: More of them.
        address: Where the server is asked.
    """

    def __init__(self, out: Path, file: Path, options: Sequence[str], address: str) -> None:
        self._out, self._log = out, out.with_name("log.txt")
        self._command = [sys.executable, "-m", "selfmoe", "run", str(file), "--out", str(out)]
        self._command += [*options, "--generate", "openai", "--model", "base"]
        self._command += ["--base-url", f"{address}/v1"]
        self._command += ["--set", f"generate.options.concurrency={CONCURRENCY}"]
        self._command += ["--set", "generate.stages=[brainstorm,respond]"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or go on with it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )

    def ended(self) -> int | None:
        """Return its exit status; ``None`` while it runs."""
        return None if self._process is None else self._process.poll()

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def said(self) -> str:
        """Return what it said last."""
        return self._log.read_text("utf-8")[-2000:]

    def data(self) -> Json:
        """Return how many tasks and answers there are, and how many were asked for again."""
        tasks, answers = (
            sum(len(read_jsonl(file)) for file in self._out.glob(pattern))
            for pattern in ("brainstorm/*/instructions.jsonl", "respond/*/responses.jsonl")
        )
        return {"instructions": tasks, "responses": answers}


def struck(run: Run, server: Server, between: Between, order: Sequence[tuple[str, int]]) -> Json:
    """Let a run come to its end while it and its server are killed, and return what was counted.

    Args:
        run: The run.
        server: Its server.
        between: What stands between them.
        order: What is killed, and after how many answers more than there are by then.

    Raises:
        SystemExit: If the run fails for another reason.
    """
    server.start()
    between.to = server.address
    run.start()
    fallen: list[Json] = []
    killed: list[float] = []
    coming = iter(order)
    who, due = next(coming, ("", 0))
    deadline = time.monotonic() + PATIENCE_S
    while (status := run.ended()) != 0:
        time.sleep(PAUSE_S)
        if time.monotonic() > deadline:
            raise SystemExit(f"no end in {PATIENCE_S} s\n{run.said()}")
        if status is not None:
            if "run the same command again" not in run.said():
                raise SystemExit(run.said())
            run.start()
        elif who and between.answers() >= due:
            fallen.append({"of": who, "answers": due, "under_way": between.open})
            click.echo(str(fallen[-1]))
            if who == "run":
                killed.append(time.monotonic())
                run.kill()
                run.start()
            else:
                server.kill()
                server.start()
                between.to = server.address
            who, more = next(coming, ("", 0))
            due = between.answers() + more
    again = [times for times in between.handed.values() if len(times) > 1]
    unread = [times for times in again if all(_unread(then, killed) for then in times[:-1])]
    return {
        "falls": fallen,
        "answers": len(between.handed),
        "unread": len(unread),
        "made_twice": len(again) - len(unread),
    }


def _unread(then: float, killed: Sequence[float]) -> bool:
    """Return whether the run was killed soon after that."""
    return any(0 <= fall + UNREAD_S - then <= 2 * UNREAD_S for fall in killed)


if __name__ == "__main__":
    command()
