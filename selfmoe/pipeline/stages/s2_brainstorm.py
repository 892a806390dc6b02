"""Stage 2: the base model continues lists of seed tasks, and so writes new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import count
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Instruction, LoadedBase, Rejected, Seed
from selfmoe.contracts.text import normalise
from selfmoe.models.context import fit, prompt_length
from selfmoe.models.tokens import STRANGE, text_ids, unknown_token
from selfmoe.pipeline.few_shot import pick
from selfmoe.pipeline.records import read_seeds
from selfmoe.pipeline.task import Basis, Job
from selfmoe.pipeline.writing import foresee_writing, part_of, telling, write
from selfmoe.store.files import write_json, write_jsonl
from selfmoe.store.shards import Row, shard

if TYPE_CHECKING:
    from selfmoe.models.generation import Continuation, Tell
    from selfmoe.pipeline.plan import Plan


def plan(plan: Plan) -> None:
    """Add one task a domain, unless experts learn from the seeds alone."""
    if plan.config.curate.data == "seeds":
        return
    for domain in plan.domains:
        basis = Basis(
            plan.config.brainstorm.model_dump(exclude={"batch_size"})
            | {"track": plan.config.track},
            components=[("domain", domain.name)],
            inputs={"seeds": plan.of("seeds")[domain.name]},
            writes=True,
        )
        n, run = plan.config.brainstorm.n, partial(brainstorm, domain)
        size, amount = f"{n} instructions", partial(int, n)
        plan.add("brainstorm", domain.name, run, basis, size=size, foresee=foresee, amount=amount)


foresee = partial(foresee_writing, "brainstorm")


def brainstorm(domain: Domain, job: Job) -> None:
    """Write ``instructions.jsonl`` (what is new and well-formed) and ``yield.json`` (the rest).

    Raises:
        StageError: If no well-formed task comes out of all tries.
    """
    config = job.session.config.brainstorm
    seeds = read_seeds(job.input("seeds"))
    collected = _Collected(domain, seeds, part_of(job.session, "brainstorm"))
    most = config.n * config.max_tries
    with job.session.display.work(job.task.name) as update:
        for part in count():
            size = collected.lacking(config.n, most)
            if not size:
                break
            numbers = range(collected.written, collected.written + size)
            told = telling(update, len(collected.kept), config.n, collected.share)
            for row in shard(job.work, part, partial(_write, job, domain, seeds, numbers, told)):
                if len(collected.kept) < config.n:
                    collected.add(row)
            update(len(collected.kept), config.n, f"of {collected.written} written")
    if not collected.kept:
        raise StageError(_nothing(domain.name, collected))
    if len(collected.kept) < config.n:
        job.session.display.warn(
            f"brainstorm {domain.name}: {len(collected.kept)} of {config.n} instructions after "
            f"{collected.written} texts; raise brainstorm.max_tries ({config.max_tries}) for more"
        )
        job.remarks.append(f"{len(collected.kept)} came")
    collected.save(job.out)


def _write(
    job: Job, domain: Domain, seeds: list[Seed], numbers: Sequence[int], told: Tell
) -> list[Row]:
    """Return raw continuations, with the ids of the seeds in context.

    Args:
        job: The task.
        domain: Whose tasks.
        seeds: Its seeds.
        numbers: Of the texts; what each becomes depends on its number, not on the others.
        told: Is told of progress.
    """
    from selfmoe.models.generation import Sampling

    config, base = job.session.config.brainstorm, job.session.base
    prompts = domain.prompts(job.session.config.source)
    shots = [pick(seeds, config.shots, job.seed("shots", number)) for number in numbers]
    length, room = partial(prompt_length, base.tokenizer), base.context - config.max_new_tokens
    fitted = [fit(prompts.brainstorm, group, length, room) for group in shots]
    rows: list[Row] = [
        {
            "seeds": [seed.id for seed in group[: prompt.used]],
            "problem": None if prompt.fits else "prompt too long",
        }
        for group, prompt in zip(shots, fitted, strict=True)
    ]
    asked = [place for place, prompt in enumerate(fitted) if prompt.fits]
    written = write(
        job.session,
        "brainstorm",
        [fitted[place].text for place in asked],
        max_new_tokens=config.max_new_tokens,
        stop=prompts.stop,
        sampling=Sampling(config.temperature, config.top_p),
        seeds=[job.seed("sample", numbers[place]) for place in asked],
        batch_size=config.batch_size,
        progress=told,
        kept=job.work / f"answers-{numbers[0]:05d}",
    )
    for place, new in zip(asked, written, strict=True):
        rows[place] |= {"text": new.text, "problem": _problem(base, new)}
    return rows


def _problem(base: LoadedBase, written: Continuation) -> str | None:
    """Return what is wrong with a continuation before it is parsed."""
    if unknown_token(base.tokenizer, base.model, text_ids(base.tokenizer, written.text)):
        return STRANGE
    return None if written.finished else "unfinished"


class _Collected:
    """The distinct, well-formed, new tasks so far, and why the others are not among them."""

    def __init__(self, domain: Domain, seeds: list[Seed], part: int) -> None:
        self._domain, self._part = domain, part
        self._seen = {normalise(seed.instruction, seed.input): "copy of a seed" for seed in seeds}
        self.kept: list[Row] = []
        self.dropped: Counter[str] = Counter()
        self.written = 0

    @property
    def share(self) -> float:
        """How much of what was written is among them, in 0..1; all of it at the beginning."""
        return len(self.kept) / self.written if self.written else 1.0

    def lacking(self, wanted: int, most: int) -> int:
        """Return how many texts to write next, 0 if there are enough or ``most`` were written."""
        missing = wanted - len(self.kept)
        likely = ceil(missing / max(self.share, 1 / self._part))
        return min(likely, self._part, most - self.written) if missing else 0

    def add(self, row: Row) -> None:
        """Take in one raw continuation."""
        self.written += 1
        task = self._parse(row)
        if isinstance(task, Rejected):
            self.dropped[task.reason] += 1
            return
        key = normalise(task.instruction, task.input)
        if key in self._seen:
            self.dropped[self._seen[key]] += 1
            return
        self._seen[key] = "duplicate"
        number = f"{self._domain.name}-{len(self.kept):06d}"
        self.kept.append(
            {
                "id": number,
                "instruction": task.instruction,
                "input": task.input,
                "seeds": row["seeds"],
            }
        )

    def _parse(self, row: Row) -> Instruction | Rejected:
        return Rejected(row["problem"]) if row["problem"] else self._domain.parse(row["text"])

    def save(self, out: Path) -> None:
        """Write what was kept and the counts of what was not."""
        write_jsonl(out / "instructions.jsonl", self.kept)
        counts = {"written": self.written, "kept": len(self.kept), "dropped": dict(self.dropped)}
        write_json(out / "yield.json", counts)


def _nothing(domain: str, collected: _Collected) -> str:
    reasons = ", ".join(f"{n} {why}" for why, n in collected.dropped.most_common()) or "no text"
    return (
        f"brainstorm kept 0 of {collected.written} texts of domain '{domain}': {reasons}\n"
        "  The base does not continue the list of tasks, or the list does not fit its context. "
        "Change brainstorm.max_new_tokens, brainstorm.shots or brainstorm.max_tries, or take "
        "another base."
    )
