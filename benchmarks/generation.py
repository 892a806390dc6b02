"""How fast texts are written and benchmarks asked, beside a former build and transformers alone.

`benchmarks/generation.py --base FOLDER --json FILE`. Builds take turns, each round of each in a
process of its own, of which the CPU time is counted; loading is not. All are given the same
prompts: those of the stages brainstorm and respond, on a real base with the preset paper and rows
of GSM8K and MMLU, on the seedling with the preset demo. Results are kept after each one,
beside those that are in the file already and are not measured again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from transformers import AutoConfig, AutoTokenizer

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.models.processor import bfloat16_instructions
from selfmoe.pipeline.versions import versions
from selfmoe.registry.registry import registry
from selfmoe.store.files import write_json
from speeds.machine import processor
from writing import builds, jobs, rounds
from writing.prompts import Reader, Workload, workloads

Json = dict[str, Any]
DATA = builds.HERE.parent / "shared" / "data"
SYSTEMS = (*jobs.BUILDS, *jobs.ALONE)
PATH = click.Path(path_type=Path)
NO_LIMIT = 1 << 20


class Base(NamedTuple):
    """A model, and what is done with it.

    Attributes:
        name: What it is called in results.
        path: Its folder.
        config: Settings of the stages.
        per_domain: Prompts a stage and domain.
        longest: Longest continuation, in tokens.
    """

    name: str
    path: Path
    config: RunConfig
    per_domain: int
    longest: int


class Asked(NamedTuple):
    """What the command line asks for.

    Attributes:
        former: Folder of the former build.
        data: Folder of upstream files.
        items: Items of each benchmark.
        rounds: Rounds of each measurement.
        systems: Who takes part.
        only: What titles must hold.
    """

    former: Path
    data: Path
    items: int
    rounds: int
    systems: Sequence[str]
    only: str


@click.command()
@click.option("--base", type=PATH, help="Folder of a real base.")
@click.option("--name", help="What it is called in results; default: as its folder.")
@click.option("--seedling/--no-seedling", default=True, help="Whether to measure on the seedling.")
@click.option("--data-dir", type=PATH, default=DATA, help="Upstream files of GSM8K and MMLU.")
@click.option("--former", type=PATH, help="Folder of the former build; default: taken from git.")
@click.option("--prompts", default=64, show_default=True, help="A stage and domain of the base.")
@click.option("--max-new-tokens", default=256, show_default=True, help="Longest text of the base.")
@click.option("--seedling-prompts", default=96, show_default=True, help="A stage and domain.")
@click.option(
    "--items", default=100, show_default=True, help="Items of each benchmark; 0: none is asked."
)
@click.option("--rounds", "count", default=3, show_default=True, help="Rounds of a measurement.")
@click.option("--threads", multiple=True, type=int, default=(1, 2), show_default=True)
@click.option("--system", "systems", multiple=True, default=SYSTEMS, show_default=True)
@click.option("--only", default="", help="Only what has this in its title, such as respond.")
@click.option("--json", "target", type=PATH, help="Write JSON there.")
def command(**given: Any) -> None:
    """Measure generation and evaluation against a former build and transformers alone."""
    bases = list(_bases(given))
    facts = _facts(given)
    with builds.former(given["former"]) as former:
        fast = [jobs.AUTO] if bfloat16_instructions() else []
        systems = list(dict.fromkeys(["former", *given["systems"], *fast]))
        counts = (given["items"], given["count"])
        asked = Asked(former.resolve(), given["data_dir"], *counts, systems, given["only"])
        for found in _results(asked, bases, given["threads"]):
            if given["target"] is not None:
                write_json(given["target"], {**facts, **_beside(found, given["target"])})


def _bases(given: Mapping[str, Any]) -> Iterator[Base]:
    data = given["data_dir"]
    if given["base"] is not None and not data.is_dir():
        click.echo(f"{data} is no folder: nothing is measured on {given['base']}", err=True)
    elif given["base"] is not None:
        path, new = given["base"].resolve(strict=True), given["max_new_tokens"]
        track = {"preset": "paper", "track": "benchmark", "data_dir": str(data)}
        config = resolve({**track, "base": str(path), "domains": ["math", "knowledge"]})
        yield Base(given["name"] or path.name, path, config, given["prompts"], new)
    if given["seedling"]:
        path = Path(registry().configure("base", "seedling").path())
        config = resolve({"base": "seedling", "preset": "demo"})
        yield Base("seedling", path, config, given["seedling_prompts"], NO_LIMIT)


def _facts(given: Mapping[str, Any]) -> Json:
    more = "--json results/generation.json"
    return {
        "command": f"benchmarks/generation.py --base FOLDER {more}",
        "processor": processor(),
        "metric": "CPU time of a process; ratio: how many times as fast as the former build",
        "former": builds.FORMER,
        "bfloat16": bfloat16_instructions(),
        "versions": dict(versions()),
    }


def _results(asked: Asked, bases: Sequence[Base], threads: Sequence[int]) -> Iterator[Json]:
    """Yield all results so far, after every measurement."""
    found: dict[str, list[Json]] = {"written": [], "sums": [], "asked": []}
    for number in threads:
        for base in bases:
            setting = jobs.Setting(base.path, asked.former, number, asked.systems)
            for kind, one in _of_base(asked, base, setting):
                found[kind].append(one)
                yield found


def _beside(found: Mapping[str, list[Json]], file: Path) -> Json:
    """Return results beside those in a file that were not measured again."""
    old: Json = json.loads(file.read_text("utf-8")) if file.exists() else {}
    again = {_place(row) for rows in found.values() for row in rows}
    kept = {kind: [row for row in old.get(kind, ()) if _place(row) not in again] for kind in found}
    return {kind: sorted([*kept[kind], *found[kind]], key=_place) for kind in found}


def _place(row: Json) -> tuple[int, str, str]:
    return row["threads"], row["base"], row["title"]


def _of_base(asked: Asked, base: Base, setting: jobs.Setting) -> Iterator[tuple[str, Json]]:
    """Yield each measurement on a base, with the kind of it."""
    several: list[rounds.Results] = []
    for work in (work for work in _workloads(base) if asked.only in work.title):
        several.append(_rounds(jobs.writing(work, setting), asked))
        systems = rounds.written(several[-1])
        yield "written", _told(work.title, base, setting, _about(work, asked), systems)
    if several:
        about = {"rounds": asked.rounds}
        yield "sums", _told("all of them", base, setting, about, rounds.summed(several))
    if base.config.track == "benchmark" and asked.items:
        for title in (title for title in jobs.BENCHMARKS if asked.only in title):
            made = _rounds(jobs.asking(title, setting, asked.data, asked.items), asked)
            about = {"items": asked.items, "rounds": asked.rounds}
            yield "asked", _told(title, base, setting, about, rounds.answered(made))


def _workloads(base: Base) -> Iterator[Workload]:
    tokenizer = AutoTokenizer.from_pretrained(base.path)
    config = AutoConfig.from_pretrained(base.path)
    context = int(min(config.max_position_embeddings, tokenizer.model_max_length))
    return workloads(base.config, Reader(tokenizer, context, base.longest), base.per_domain)


def _about(work: Workload, asked: Asked) -> Json:
    drawn = {"sampled": work.sampling is not None, "max_new_tokens": work.max_new_tokens}
    return {
        "stage": work.stage,
        "domain": work.domain,
        "prompts": len(work.prompts),
        "rounds": asked.rounds,
        **drawn,
    }


def _rounds(made: Mapping[str, Json], asked: Asked) -> rounds.Results:
    return rounds.alternate(made, asked.rounds, builds.carry_out)


def _told(
    title: str, base: Base, setting: jobs.Setting, about: Json, systems: Mapping[str, Json]
) -> Json:
    """Return a measurement as it is kept, and say it."""
    click.echo(f"{title}, {base.name}, threads: {setting.threads}")
    for name, row in systems.items():
        whole = row["whole"]
        line = f"{whole['ratio']:.2f} ({whole['low']:.2f} to {whole['high']:.2f})"
        parts = [
            f"{part} {row[part]['ratio']:.2f}" for part in ("prefill", "decode") if part in row
        ]
        parts += [f"{row['same']} the same"] if "same" in row else []
        click.echo(f"  {name:20} {line}  {whole['seconds']:.1f} s  {', '.join(parts)}")
    facts = {"title": title, "base": base.name, "threads": setting.threads}
    return {**facts, **about, "systems": systems}


if __name__ == "__main__":
    command()
