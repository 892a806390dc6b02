"""Whether data is the same for other batch sizes and threads: `benchmarks/steady.py --json FILE`.

The stages brainstorm and respond are made with the first batch size and number of threads, and
what they ask the base is kept. With every other setting, in a process of its own, it is asked the
same: the same prompts, and the same seeds where tokens are drawn. Rows are compared with all that
is kept of them, tokens and text. For each one that differs, the base reads it alone up to where it
parts, and the gap says how near the tie is there (`steadiness.gaps`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import click

from selfmoe.config.layers import assign
from selfmoe.pipeline.versions import versions
from selfmoe.store.files import write_json
from speeds.machine import processor
from steadiness.rows import counted, kind_of, partings
from writing.builds import HERE, carry_out

Json = dict[str, Any]
WORKER = "steadiness.worker"
LEAST_SHARE = 0.995
"""Share of rows that have to be the same, in every setting and of every kind."""
LARGEST_GAP = 1e-4
"""Of logits, or of a draw in 0..1, where rows that are not the same part."""


class Setting(NamedTuple):
    """How a base is asked.

    Attributes:
        batch: Most rows at once.
        threads: Threads of the process.
    """

    batch: int
    threads: int


@click.command()
@click.option("--base", default="seedling", show_default=True, help="Base plugin or folder.")
@click.option("--preset", default="demo", show_default=True)
@click.option("--domains", help="Comma-separated; default: those of the preset.")
@click.option("--n", default=84, show_default=True, help="Instructions a domain.")
@click.option("--set", "more", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
@click.option("--batch", multiple=True, type=int, default=(64, 7, 1), show_default=True)
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--jobs", default=1, show_default=True, help="Settings that are tried at a time.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write JSON there.")
def command(**given: Any) -> None:
    """Compare the data of brainstorm and respond between batch sizes and numbers of threads."""
    settings = [Setting(*pair) for pair in product(given["batch"], given["threads"])]
    run = _run(given, settings[0])
    found = measured(run, settings, given["jobs"])
    for row in found["settings"]:
        click.echo(_told(row))
    if given["target"] is not None:
        write_json(given["target"], {**_facts(run), **found})
    if not holds(found["settings"]):
        raise SystemExit(1)


def _run(given: Mapping[str, Any], first: Setting) -> Json:
    """Return the settings of the run whose stages are made."""
    named = {"domains": given["domains"].split(",")} if given["domains"] else {}
    run: Json = {
        **named,
        "base": given["base"],
        "preset": given["preset"],
        "dtype": "float32",
        "brainstorm": {"n": given["n"], "batch_size": first.batch},
        "respond": {"samples": 1, "batch_size": first.batch},
    }
    for assignment in given["more"]:
        assign(run, assignment)
    return run


def measured(run: Json, settings: Sequence[Setting], jobs: int = 1) -> Json:
    """Return what each setting writes beside the first one.

    Args:
        run: Settings of a run, whose batch sizes are those of the first setting.
        settings: The settings.
        jobs: How many of them are tried at a time.
    """
    first = carry_out(_job("record", run, settings[0]), WORKER)
    calls, reference = first["calls"], first["written"]
    rows = [{**settings[0]._asdict(), "kinds": counted(calls, []), "parted": []}]
    with ThreadPoolExecutor(jobs) as pool:  # each waits for a process
        rows += pool.map(partial(_compared, run, calls, reference), settings[1:])
    margins = [row["margin"] for call in reference for row in call]
    near = sum(margin < LARGEST_GAP for margin in margins)
    return {"rows": len(margins), "near": near, "settings": rows}


def _job(kind: str, run: Json, setting: Setting, **more: Any) -> Json:
    about = {"build": str(HERE), "title": kind, "system": f"batch {setting.batch}"}
    return {**about, **setting._asdict(), "kind": kind, "run": run, **more}


def _compared(
    run: Json, calls: Sequence[Json], reference: Sequence[Sequence[Json]], setting: Setting
) -> Json:
    """Return how many rows of a setting are the same, and where and how nearly the others part."""
    written = carry_out(_job("write", run, setting, calls=calls), WORKER)
    found = list(partings(written, reference))
    before = [reference[one.call][one.row]["tokens"][: one.place] for one in found]
    more = {"calls": calls, "partings": found, "before": before}
    gaps = carry_out(_job("look", run, Setting(1, 1), **more), WORKER) if found else []
    parted = [
        {
            "kind": kind_of(calls[one.call]),
            "domain": calls[one.call]["domain"],
            "token": one.place,
            "gap": gap if gap < 1 else None,
        }
        for one, gap in zip(found, gaps, strict=True)
    ]
    return {**setting._asdict(), "kinds": counted(calls, found), "parted": parted}


def holds(rows: Sequence[Json]) -> bool:
    """Return whether enough rows are the same and every other one parts at a near tie."""
    shares = (kind["share"] for row in rows for kind in row["kinds"].values())
    gaps = (one["gap"] for row in rows for one in row["parted"])
    near = all(gap is not None and gap <= LARGEST_GAP for gap in gaps)
    return near and all(share >= LEAST_SHARE for share in shares)


def _told(row: Json) -> str:
    same = ", ".join(f"{kind}: {n['same']} of {n['rows']}" for kind, n in row["kinds"].items())
    gaps = "; parted at gaps of " + ", ".join(_gaps(row)) if row["parted"] else ""
    return f"batch {row['batch']}, {row['threads']} threads: {same}{gaps}"


def _gaps(row: Json) -> Iterator[str]:
    for one in row["parted"]:
        yield "no near tie" if one["gap"] is None else f"{one['gap']:.1e}"


def _facts(run: Json) -> Json:
    return {
        "command": "benchmarks/steady.py --json results/steady.json",
        "run": run,
        "bounds": {"share": LEAST_SHARE, "gap": LARGEST_GAP},
        "processor": processor(),
        "versions": versions(),
    }


if __name__ == "__main__":
    command()
