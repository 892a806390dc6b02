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

Json = dict[str, Any]


def main(job_file: str, result_file: str) -> None:
    """Do a job and write what it took.

    Raises:
        RuntimeError: If it would be done with the code of another build.
    """
    import selfmoe

    job: Json = json.loads(Path(job_file).read_text("utf-8"))
    code = Path(selfmoe.__file__).resolve()
    if not code.is_relative_to(Path(job["build"]).resolve()):
        raise RuntimeError(f"the code is that of {code.parent}, not of {job['build']}")
    torch.set_num_threads(job["threads"])
    result = {"write": write, "ask": ask}[job["kind"]](job)
    Path(result_file).write_text(json.dumps(result), "utf-8")


def seconds_used() -> float:
    """Return the CPU time of all threads of this process, and of children that have ended."""
    parts = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = seconds_used()
    found = work()
    return seconds_used() - start, found


def load(job: Json) -> tuple[Any, Any]:
    """Return model and tokenizer, loaded in the same way for every build."""
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
    return model.eval().requires_grad_(False), tokenizer


def write(job: Json) -> Json:
    """Continue prompts.

    Returns:
        Seconds of CPU time for the first token of all prompts (``prefill``) and for all tokens
        (``whole``), and the new tokens of each prompt (``tokens``).
    """
    from writing.systems import WRITERS

    writer = WRITERS[job["writer"]]
    model, tokenizer = load(job)
    short = {**job, "prompts": job["prompts"][:2], "max_new_tokens": 4}
    writer(model, tokenizer, short)  # what is made once is no part of it
    first = {**job, "max_new_tokens": 1}
    prefill, _ = _timed(lambda: writer(model, tokenizer, first))
    whole, tokens = _timed(lambda: writer(model, tokenizer, job))
    return {"prefill": prefill, "whole": whole, "tokens": tokens}


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
    main(*sys.argv[1:])
