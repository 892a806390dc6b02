"""One round of one job, in a process of its own: `python -m writing.worker JOB RESULT`.

Only what the former build has too is imported at the top: this runs with the code of either.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from speeds.builds import hasten, leave_out_installed

Json = dict[str, Any]


def main(job_file: str, result_file: str) -> None:
    """Do a job and write what it took.

    Raises:
        RuntimeError: If it is done with the code of another build.
    """
    job: Json = json.loads(Path(job_file).read_text("utf-8"))
    check_code(job["build"])
    torch.set_num_threads(job["threads"])
    result = {"write": write, "ask": ask}[job["kind"]](job)
    check_code(job["build"])
    Path(result_file).write_text(json.dumps(result), "utf-8")


def check_code(build: str) -> None:
    """Check that all modules of selfmoe are those of a build.

    Raises:
        RuntimeError: If one is not; names it.
    """
    import selfmoe  # noqa: F401 (there is one at least)

    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] != "selfmoe":
            continue
        if not Path(file).resolve().is_relative_to(Path(build).resolve()):
            raise RuntimeError(f"the code of {name} is that of {file}, not of {build}")


def seconds_used() -> float:
    """Return the CPU time of all threads of this process, and of children that have ended."""
    parts = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = seconds_used()
    found = work()
    return seconds_used() - start, found


def load(job: Json) -> tuple[Any, Any]:
    """Return model and tokenizer; the model as a build has it that loads a base by itself."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    dtype = getattr(torch, job["dtype"])
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    named = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if named is None else named
    pad = tokenizer.pad_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=pad)
    model.eval().requires_grad_(False)
    if job.get("writer", "selfmoe") == "selfmoe":
        hasten(model)
    return model, tokenizer


def write(job: Json) -> Json:
    """Continue prompts.

    Returns:
        Seconds of CPU time in all (``whole``) and of the forwards that read several tokens a row
        (``prefill``; 0 where steps and prompts share forwards), and the new tokens of each prompt
        (``tokens``).
    """
    from writing.systems import MIXED, WRITERS

    writer = WRITERS[job["writer"]]
    model, tokenizer = load(job)
    short = {**job, "prompts": job["prompts"][:2], "max_new_tokens": 4}
    writer(model, tokenizer, short)  # what is made once is no part of it
    prefill = Prefill(model)
    whole, tokens = _timed(lambda: writer(model, tokenizer, job))
    apart = prefill.seconds if job["writer"] not in MIXED else 0.0
    return {"prefill": apart, "whole": whole, "tokens": tokens}


class Prefill:
    """Takes the time of the forwards of a model that read several tokens a row.

    Attributes:
        seconds: CPU time of all of them so far.
    """

    def __init__(self, model: Any) -> None:
        self.seconds = self._start = 0.0
        model.register_forward_pre_hook(self._begin, with_kwargs=True)
        model.register_forward_hook(self._end, with_kwargs=True)

    def _begin(self, model: Any, args: Any, told: Json) -> None:
        self._start = seconds_used()

    def _end(self, model: Any, args: Any, told: Json, output: Any) -> None:
        if told["input_ids"].shape[1] > 1:
            self.seconds += seconds_used() - self._start


def ask(job: Json) -> Json:
    """Evaluate a benchmark.

    Returns:
        Seconds of CPU time (``whole``), the completions (``answers``) and the ``score``.
    """
    model, tokenizer = load(job)
    benchmark = _benchmark(job)
    len(benchmark.items)  # read before, not timed
    with tempfile.TemporaryDirectory() as work:
        whole, (score, rows) = _timed(
            lambda: _evaluated(model, tokenizer, benchmark, job, Path(work))
        )
    answers = [row["completion"] for row in rows]
    return {"whole": whole, "answers": answers, "score": score.value}


def _benchmark(job: Json) -> Any:
    from importlib import import_module

    try:
        from selfmoe.contracts.records import Source
    except ImportError:
        from selfmoe.records import Source  # type: ignore[import-not-found, no-redef]
    module, name = job["benchmark"]
    source = Source("benchmark", Path(job["data_dir"]), "test")
    return getattr(import_module(module), name)(source)


def _evaluated(model: Any, tokenizer: Any, benchmark: Any, job: Json, work: Path) -> Any:
    from selfmoe.evaluation import bridge

    evaluate: Any = bridge.evaluate
    how: Json = {"limit": job["limit"], "batch_size": job["batch"]}
    setup = (bridge.Setup(**how),) if hasattr(bridge, "Setup") else ()
    context = int(min(model.config.max_position_embeddings, tokenizer.model_max_length))
    where: Json = {"benchmark_id": benchmark.name, "context": context, "work": work}
    rest = {} if setup else how
    return evaluate(model, tokenizer, benchmark, *setup, **where, **rest)


if __name__ == "__main__":
    leave_out_installed()
    main(*sys.argv[1:])
