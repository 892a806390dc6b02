"""Stage 1: a hundred or so examples a domain, the only ones that are not machine-made."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.lines import plain_record
from selfmoe.contracts.records import Seed
from selfmoe.evaluation.benchmarks import check_items, files_of, guarded
from selfmoe.evaluation.leaks import refuse_leaks
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.store.files import write_json, write_jsonl

if TYPE_CHECKING:
    from selfmoe.pipeline.plan import Plan


def plan(plan: Plan) -> None:
    """Add one task a domain."""
    source, named = plan.config.source, plan.config.evaluate.benchmarks
    for domain in plan.domains:
        targets = guarded(domain, source, named, targets=True)
        read = [*domain.files(source), *files_of(targets)]
        settings = {**plan.config.seeds.model_dump(), "source": plan.sources(read)}
        if _add(plan, domain, settings).problem() and _unchecked(domain, source.track):
            plan.tasks.pop()
            _add(plan, domain, {**settings, "unchecked": "no sandbox"})


def _add(plan: Plan, domain: Domain, settings: dict[str, Any]) -> Task:
    basis = Basis(settings, components=[("domain", domain.name)], reads_base=False)
    size = f"{plan.config.seeds.n} seeds"
    return plan.add("seeds", domain.name, partial(draw, domain), basis, size=size)


def _unchecked(domain: Domain, track: str) -> bool:
    """Return whether seeds would be drawn without the check in the sandbox that they call for.

    They have a key of their own, and so has what is made from them: on a machine with a sandbox,
    all of it is made again.
    """
    if track not in domain.checked_by_running:
        return False
    from selfmoe.evaluation.sandbox import best_tier

    return best_tier() is None


def draw(domain: Domain, job: Job) -> None:
    """Write ``seeds.jsonl``, and ``notes.json`` with what the domain warns of.

    Raises:
        DataError: If a seed is a benchmark item, or the data is malformed.
        StageError: If what the domain returns is no list of that many seeds.
    """
    config = job.session.config
    source = replace(config.source, split="test")  # seeds are the same whatever is evaluated
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        seeds = domain.seeds(source, config.seeds.n, random.Random(job.seed("draw")))
    notes = [str(one.message) for one in said if issubclass(one.category, UserWarning)]
    for note in notes:
        job.session.display.warn(f"{job.task.name}: {note}")
    plugin = config.registry.entry("domain", domain.name).plugin
    check_seeds(
        f"domain '{domain.name}' ({plugin})",
        seeds,
        config.seeds.n,
        fewer=domain.may_have_fewer_seeds,
    )
    if len(seeds) < config.seeds.n:
        job.remarks.append(f"{len(seeds)} are there")
    for benchmark in guarded(domain, config.source, config.evaluate.benchmarks):
        check_items(domain.name, benchmark)  # malformed data is said now, not hours later
        if benchmark.role == "target":
            refuse_leaks(domain.name, seeds, [benchmark])
    write_jsonl(job.out / "seeds.jsonl", [asdict(plain_record(seed)) for seed in seeds])
    write_json(job.out / "notes.json", notes)


def check_seeds(domain: str, seeds: Any, n: int, *, fewer: bool = False) -> None:
    """Stop unless a domain returned a list of ``n`` seeds, their fields texts, no id twice.

    A generator is refused before it is asked for anything: it need not end.

    Args:
        domain: The domain, for messages.
        seeds: What it returned.
        n: How many it was asked for.
        fewer: Whether there may be fewer, as long as there are any.

    Raises:
        StageError: Naming the domain and the field.
    """
    if not isinstance(seeds, list | tuple):
        raise _fault(domain, f"seeds() returned {type(seeds).__name__}, expected a list of seeds")
    if len(seeds) != n and not (fewer and 0 < len(seeds) < n):
        raise _fault(domain, f"seeds() returned {len(seeds)} seeds, but seeds.n is {n}")
    for place, seed in enumerate(seeds):
        if not isinstance(seed, Seed):
            raise _fault(domain, f"seeds()[{place}] is {type(seed).__name__}, expected a Seed")
        for field, value in asdict(seed).items():
            if not isinstance(value, str):
                kind = type(value).__name__
                raise _fault(domain, f"seeds()[{place}].{field} is {kind}, expected a text")
    [(name, count)] = Counter(seed.id for seed in seeds).most_common(1)
    if count > 1:
        raise _fault(domain, f"seeds() returned {count} seeds with the id '{name}'")


def _fault(domain: str, what: str) -> StageError:
    return StageError(f"{domain}: {what}\n  Report it to the plugin that provides it.")
