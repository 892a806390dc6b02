"""How prompts are continued: by a build of selfmoe, or by transformers alone.

Only what the former build has too is imported at the top: this runs with the code of either.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Json = dict[str, Any]
Writer = Callable[[Any, Any, Json], list[list[int]]]
"""Model, tokenizer and job -> the new tokens of each prompt, without what ends a text."""

BLOCKS = 128
"""Blocks of transformers' paged cache, of 256 tokens each: by default it takes all memory."""


def selfmoe(model: Any, tokenizer: Any, job: Json) -> list[list[int]]:
    """Return what a build's own generation writes, all prompts given at once if it takes them."""
    module = _generation()
    if "seeds" in inspect.signature(module.generate).parameters:
        return _by_item(module, model, tokenizer, job)
    return _by_batch(module, model, tokenizer, job)


def _generation() -> Any:
    try:
        from selfmoe.models import generation
    except ImportError:
        from selfmoe import generation  # type: ignore[attr-defined, no-redef]
    return generation


def _by_item(module: Any, model: Any, tokenizer: Any, job: Json) -> list[list[int]]:
    drawn = {}
    if job["sampling"]:
        seeds = range(len(job["prompts"]))
        drawn = {"sampling": module.Sampling(*job["sampling"]), "seeds": list(seeds)}
    written = module.generate(model, tokenizer, job["prompts"], **_limits(job), **drawn)
    return [_until_end(one.tokens, model, tokenizer) for one in written]


def _by_batch(module: Any, model: Any, tokenizer: Any, job: Json) -> list[list[int]]:
    found: list[list[int]] = []
    with _Recorder(model) as recorder:
        for number, prompts in enumerate(_batches(job["prompts"], job["batch"])):
            drawn = module.Sampling(*job["sampling"], number) if job["sampling"] else None
            module.generate(model, tokenizer, prompts, **_limits(job), sampling=drawn)
            found += [_until_end(row, model, tokenizer) for row in recorder.rows]
    return found


def _limits(job: Json) -> Json:
    return {"max_new_tokens": job["max_new_tokens"], "stop": job["stop"]}


class _Recorder:
    """Keeps the tokens that a model's ``generate`` last wrote; builds only tell the text."""

    def __init__(self, model: Any) -> None:
        self._model, self._real = model, model.generate
        self.rows: list[list[int]] = []

    def __enter__(self) -> _Recorder:
        self._model.generate = self._generate
        return self

    def __exit__(self, *_: object) -> None:
        self._model.generate = self._real

    def _generate(self, **options: Any) -> Any:
        output = self._real(**options)
        self.rows = output[:, options["input_ids"].shape[1] :].tolist()
        return output


def plain(batch: int) -> Writer:
    """Return transformers' ``generate`` on batches in the order of the prompts."""

    def write(model: Any, tokenizer: Any, job: Json) -> list[list[int]]:
        found: list[list[int]] = []
        for prompts in _batches(job["prompts"], batch):
            inputs = tokenizer(prompts, return_tensors="pt", padding=True)
            with torch.inference_mode():
                output = model.generate(
                    **inputs,
                    max_new_tokens=job["max_new_tokens"],
                    stop_strings=list(job["stop"]),
                    tokenizer=tokenizer,
                    **_drawing(job),
                )
            new = output[:, inputs.input_ids.shape[1] :].tolist()
            found += [_until_end(row, model, tokenizer) for row in new]
        return found

    return write


def paged(model: Any, tokenizer: Any, job: Json) -> list[list[int]]:
    """Return what transformers' continuous batching writes; it knows no stop strings."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    settings = GenerationConfig(
        max_new_tokens=job["max_new_tokens"],
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **_drawing(job),
    )
    rows = [tokenizer(prompt).input_ids for prompt in job["prompts"]]
    few = ContinuousBatchingConfig(num_blocks=BLOCKS, seed=0)
    outputs = model.generate_batch(
        inputs=rows, generation_config=settings, continuous_batching_config=few
    )
    by_prompt = {tuple(one.prompt_ids): one.generated_tokens for one in outputs.values()}
    return [_until_end(by_prompt[tuple(row)], model, tokenizer) for row in rows]


def _drawing(job: Json) -> Json:
    if not job["sampling"]:
        return {"do_sample": False}
    temperature, top_p = job["sampling"]
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def _batches(prompts: Sequence[str], size: int) -> list[list[str]]:
    return [list(prompts[start : start + size]) for start in range(0, len(prompts), size)]


def _until_end(tokens: Sequence[int], model: Any, tokenizer: Any) -> list[int]:
    """Return tokens without end of text and padding."""
    named = model.generation_config.eos_token_id
    ends = {tokenizer.pad_token_id, *(named if isinstance(named, list) else [named])}
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    return list(tokens[:end])


WRITERS: Mapping[str, Writer] = {
    "selfmoe": selfmoe,
    "generate, batch 8": plain(8),
    "generate, batch 32": plain(32),
    "generate_batch": paged,
}
"""Who continues prompts, by the name it has in jobs."""

MIXED = frozenset({"generate_batch"})
"""Those whose forwards read prompts of some rows and the next token of others."""
