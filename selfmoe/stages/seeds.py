"""Stage 1: a hundred or so examples a domain, the only ones that are not machine-made."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from functools import partial

from selfmoe.components import Domain
from selfmoe.errors import StageError
from selfmoe.evaluation.benchmarks import of_all_splits
from selfmoe.evaluation.leaks import refuse_leaks
from selfmoe.files import write_jsonl
from selfmoe.plan import Job, Plan


def plan(plan: Plan) -> None:
    """Add one task a domain."""
    for domain in plan.domains:
        plan.add(
            "seeds",
            "seeds",
            domain.name,
            partial(draw, domain),
            settings={
                **plan.config.seeds.model_dump(),
                "source": plan.sources(domain, "dev", "test"),
            },
            components=[("domain", domain.name)],
            reads_base=False,
            size=f"{plan.config.seeds.n} seeds",
        )


def draw(domain: Domain, job: Job) -> None:
    """Write ``seeds.jsonl``.

    Raises:
        DataError: If a seed is a benchmark item, or the data is malformed.
        StageError: If the domain returns another number of seeds, or two with one id.
    """
    config = job.session.config
    source = replace(config.source, split="test")  # seeds are the same whatever is evaluated
    seeds = domain.seeds(source, config.seeds.n, random.Random(job.seed("draw")))
    distinct = len({seed.id for seed in seeds})
    if distinct != config.seeds.n:
        raise StageError(
            f"domain '{domain.name}' gave {len(seeds)} seeds with {distinct} different ids, "
            f"but seeds.n is {config.seeds.n}"
        )
    refuse_leaks(domain.name, seeds, of_all_splits(domain, config.source))
    write_jsonl(job.out / "seeds.jsonl", [asdict(seed) for seed in seeds])
