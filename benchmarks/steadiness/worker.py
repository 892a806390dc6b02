"""A process of `benchmarks/steady.py`: `python -m steadiness.worker JOB RESULT`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import torch

from selfmoe.config.resolve import resolve
from selfmoe.contracts.records import LoadedBase
from selfmoe.models import generation
from selfmoe.models.base import find_base, load_base
from selfmoe.models.generation import Continuation, Sampling
from selfmoe.models.generation.drawing import draws
from selfmoe.models.tokens import prompt_ids
from selfmoe.pipeline.execute import fill
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.session import Session
from selfmoe.reporting.terminal.progress import Display
from steadiness.gaps import draw_gap, logit_gap
from steadiness.rows import Parting

Json = dict[str, Any]
STAGES = ("seeds", "brainstorm", "respond")
OPTIONS = ("max_new_tokens", "stop", "ends", "sampling", "seeds")


def main(job_file: str, result_file: str) -> None:
    """Do a job and write what came of it."""
    job: Json = json.loads(Path(job_file).read_text("utf-8"))
    torch.set_num_threads(job["threads"])
    result = {"record": record, "write": write, "look": look}[job["kind"]](job)
    Path(result_file).write_text(json.dumps(result), "utf-8")


# --- what stages ask, and what is written ---------------------------------------------------------


def record(job: Json) -> Json:
    """Return what the stages ask the base, call by call, and what it writes.

    Args:
        job: With ``run``, settings of a run that is made in a folder for the while.
    """
    with tempfile.TemporaryDirectory() as out:
        plans = make_plans(resolve({**job["run"], "out": f"{out}/run"}))
        recorder = _Recorder()
        session = Session(plans.config, plans.base, Display())
        with plans.directory.writing(), recorder:
            for task in plans.tasks:
                if task.stage in STAGES:
                    recorder.about = {"stage": task.stage, "domain": task.label}
                    fill([task], session).raise_failures()
    return {"calls": recorder.calls, "written": recorder.written}


class _Recorder:
    """Keeps what ``generate`` is asked and what it gives, while it is entered."""

    def __init__(self) -> None:
        self.about: Json = {}
        self.calls: list[Json] = []
        self.written: list[list[Json]] = []
        self._real = generation.generate

    def __enter__(self) -> None:
        generation.generate = self._generate

    def __exit__(self, *_: object) -> None:
        generation.generate = self._real

    def _generate(
        self, model: Any, tokenizer: Any, prompts: Sequence[str], **how: Any
    ) -> list[Continuation]:
        new = self._real(model, tokenizer, prompts, **how)
        plain = {name: how.get(name) or () for name in ("stop", "ends", "seeds")}
        kept = {name: list(value) for name, value in plain.items()}
        sampling = asdict(how["sampling"]) if how.get("sampling") else None
        counts = {"sampling": sampling, "max_new_tokens": how["max_new_tokens"]}
        self.calls.append({**self.about, "prompts": list(prompts), **kept, **counts})
        self.written.append([asdict(one) for one in new])
        return new


def write(job: Json) -> list[list[Json]]:
    """Return what the base writes when it is asked the same calls with another batch size."""
    base = _base(job)
    return [
        [
            asdict(one)
            for one in generation.generate(
                base.model,
                base.tokenizer,
                call["prompts"],
                batch_size=job["batch"],
                **{name: call[name] for name in OPTIONS if name != "sampling"},
                sampling=_sampling(call),
            )
        ]
        for call in job["calls"]
    ]


def _base(job: Json) -> LoadedBase:
    config = resolve(job["run"])
    return load_base(find_base(config), config)


def _sampling(call: Json) -> Sampling | None:
    return Sampling(**call["sampling"]) if call["sampling"] else None


# --- near ties ------------------------------------------------------------------------------------


def look(job: Json) -> list[float]:
    """Return how near the tie is at which rows part, read alone, without a cache.

    Args:
        job: With ``partings``, and ``before``: the tokens that each row wrote until then.
    """
    base = _base(job)
    partings = [Parting(*one) for one in job["partings"]]
    return [
        _gap(base, job["calls"][one.call], one, before)
        for one, before in zip(partings, job["before"], strict=True)
    ]


def _gap(base: LoadedBase, call: Json, parting: Parting, before: Sequence[int]) -> float:
    if parting.tokens is None:
        return inf
    first, second = parting.tokens
    prompt = prompt_ids(base.tokenizer, call["prompts"][parting.row])
    device = next(base.model.parameters()).device
    ids = torch.tensor([[*prompt, *before]], device=device)
    with torch.inference_mode():
        logits = base.model(input_ids=ids, use_cache=False).logits[0, -1]
    sampling = _sampling(call)
    if sampling is None:
        return logit_gap(logits.float(), (first, second))
    number = draws(call["seeds"][parting.row], call["max_new_tokens"])[parting.place]
    return draw_gap(logits, (first, second), sampling, number)


if __name__ == "__main__":
    main(*sys.argv[1:])
