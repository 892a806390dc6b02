"""``selfmoe serve``: the systems of a run behind OpenAI's protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs, systems


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.option(
    "--system",
    shell_complete=systems,
    help="What answers where a request names no model; default: the only system that routes.",
)
@options.placed_as_run
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The same; 0 for any that is free.",
)
@click.option("--api-key", envvar="SELFMOE_API_KEY", default="", help="What clients must show.")
@click.option(
    "--context",
    type=click.IntRange(min=2),
    help="Longest prompt and answer together, in tokens; default: as much as the base reads.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Most answers of a system at once; default: what there is memory for, up to 16.",
)
@click.option(
    "--queue",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Most answers that wait besides.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1024),
    default=2**20,
    show_default=True,
    help="Longest request, in bytes.",
)
@click.option(
    "--engine",
    type=click.Choice(["selfmoe", "llama.cpp"]),
    default="selfmoe",
    show_default=True,
    help="What writes the answers; llama.cpp: a llama-server, for systems that decide once a "
    "prompt.",
)
@click.option(
    "--llama-server",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="Where that listens, with --engine llama.cpp.",
)
@options.seed
def command(
    run: Path,
    seed: int | None,
    engine: str,
    llama_server: str,
    device: str | None,
    dtype: str | None,
    api_key: str,
    max_body: int,
    **given: Any,
) -> None:
    """Serve the systems of a finished RUN to clients of OpenAI's protocol, and a page to try them.

    Models are called RUN/SYSTEM, all on one loaded base. Needs selfmoe[serve].

    \b
    Examples:
      selfmoe serve runs/demo
      selfmoe serve runs/demo --system mixse --port 9000 --api-key secret
      selfmoe serve runs/demo --system sequence --engine llama.cpp
    """
    from selfmoe.cli.needs import needed
    from selfmoe.outward.opening import open_run

    needed("serve", "starlette", "uvicorn", *(["httpx"] if engine == "llama.cpp" else []))
    from selfmoe.outward.serve.start import Wanted, is_open, listen, serving

    llama = llama_server if engine == "llama.cpp" else None
    wanted = Wanted(key=api_key, body=max_body, llama=llama, **given)
    server = serving(open_run(run, seed, device=device, dtype=dtype), wanted)
    if is_open(wanted.host) and not wanted.key:
        click.echo(f"Anyone who reaches {wanted.host} can ask; --api-key closes it.", err=True)
    name, rows = server.systems.full(server.default), server.limits.batch

    def ready(address: str) -> None:
        click.echo(f"{address} answers as {name}, {rows} at once; Ctrl-C ends it.", err=True)

    listen(server, wanted, ready)
