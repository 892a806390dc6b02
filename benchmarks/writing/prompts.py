"""What is measured: the prompts that the stages brainstorm and respond put to a base."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.prompts import Prompts
from selfmoe.contracts.records import Instruction, Seed
from selfmoe.models.context import fit, prompt_length
from selfmoe.pipeline.few_shot import pick

BATCHES = {
    ("brainstorm", "paper"): 32,
    ("respond", "paper"): 32,
    ("brainstorm", "demo"): 96,
    ("respond", "demo"): 64,
}
"""Stage and preset -> prompts that the former build takes at a time."""


@dataclass(frozen=True)
class Workload:
    """Prompts to continue.

    Attributes:
        stage: ``brainstorm`` or ``respond``.
        domain: Whose prompts they are.
        prompts: The texts.
        stop: What ends a continuation.
        max_new_tokens: Longest continuation.
        batch: Prompts that the former build takes at a time.
        sampling: Temperature and nucleus mass; ``None`` if the likeliest token is taken.
    """

    stage: str
    domain: str
    prompts: Sequence[str]
    stop: Sequence[str]
    max_new_tokens: int
    batch: int
    sampling: tuple[float, float] | None

    @property
    def title(self) -> str:
        """What it is called in results."""
        return f"{self.stage}, {self.domain}"


@dataclass(frozen=True)
class Reader:
    """How long prompts may be.

    Attributes:
        tokenizer: Counts their tokens.
        context: Longest sequence of the model, in tokens.
        longest: Longest continuation, in tokens, whatever the settings say.
    """

    tokenizer: Any
    context: int
    longest: int


def workloads(config: RunConfig, reader: Reader, per_domain: int) -> Iterator[Workload]:
    """Yield what both stages put to a base, domain by domain; the same in every call.

    Args:
        config: Complete settings; their domains, seeds, shots and sampling are used.
        reader: How long prompts may be.
        per_domain: Prompts a stage and domain.

    Raises:
        DataError: If the data has fewer rows than that, besides the seeds.
    """
    for name in config.domains or []:
        domain: Domain = config.registry.configure("domain", name)
        rows = domain.seeds(config.source, config.seeds.n + per_domain, random.Random(0))
        seeds, others = rows[: config.seeds.n], rows[config.seeds.n :]
        prompts = domain.prompts(config.source)
        yield _brainstorm(config, reader, name, prompts, seeds, len(others))
        yield _respond(config, reader, name, prompts, seeds, others)


def _brainstorm(
    config: RunConfig, reader: Reader, name: str, prompts: Prompts, seeds: list[Seed], n: int
) -> Workload:
    stage = config.brainstorm
    new = min(stage.max_new_tokens, reader.longest)
    shots = [pick(seeds, stage.shots, number) for number in range(n)]
    texts = [_fitted(reader, prompts.brainstorm, group, new) for group in shots]
    drawn = (stage.temperature, stage.top_p)
    batch = BATCHES["brainstorm", str(config.preset)]
    return Workload("brainstorm", name, texts, prompts.stop, new, batch, drawn)


def _respond(
    config: RunConfig,
    reader: Reader,
    name: str,
    prompts: Prompts,
    seeds: list[Seed],
    others: list[Seed],
) -> Workload:
    """Return real tasks after solved seeds, in the order of the stage: the short ones first."""
    stage = config.respond
    new = min(stage.max_new_tokens, reader.longest)
    others = sorted(others, key=lambda row: (len(row.instruction) + len(row.input), row.id))
    texts = []
    for number, row in enumerate(others):
        write = partial(prompts.respond, task=Instruction(row.instruction, row.input))
        texts.append(_fitted(reader, write, pick(seeds, stage.shots, number), new))
    batch = BATCHES["respond", str(config.preset)]
    return Workload("respond", name, texts, prompts.stop, new, batch, None)


def _fitted(reader: Reader, write: Any, shots: list[Seed], new: int) -> str:
    count = partial(prompt_length, reader.tokenizer)
    return fit(write, shots, count, reader.context - new).text
