"""Stage 3: the base model answers its own tasks, with solved seeds in context.

With ``respond.documents``, passages of domain text that bear on the task stand there, too (the
second half of Self-Specialization, arXiv 2310.00160).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.domain import Domain
from selfmoe.contracts.records import Instruction, Seed
from selfmoe.models.context import fit, prompt_length
from selfmoe.models.spelling import text_behind
from selfmoe.pipeline.answering import Answering
from selfmoe.pipeline.few_shot import pick
from selfmoe.pipeline.records import read_seeds
from selfmoe.pipeline.retrieval import Finder, Passage, read_passages
from selfmoe.pipeline.retrieval.passages import documents
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.pipeline.writing import foresee_writing, part_of, telling, write
from selfmoe.store.files import hash_of, read_jsonl, write_jsonl
from selfmoe.store.shards import Row, in_shards, shards_in

if TYPE_CHECKING:
    from selfmoe.models.generation import Continuation, Tell
    from selfmoe.pipeline.plan import Plan
    from selfmoe.pipeline.session import Session


def plan(plan: Plan) -> None:
    """Add one task a domain, unless experts learn from the seeds alone."""
    if plan.config.curate.data == "seeds":
        return
    config = plan.config.respond
    for domain in plan.domains:
        folder = config.folder(domain.name)
        basis = Basis(
            _settings(plan, domain.name) | {"track": plan.config.track} | _template(plan),
            components=[("domain", domain.name)],
            inputs={
                "seeds": plan.of("seeds")[domain.name],
                "instructions": plan.of("brainstorm")[domain.name],
            },
            writes=True,
        )
        n, run = plan.config.brainstorm.n, partial(respond, domain)
        task = plan.add(
            "respond",
            domain.name,
            run,
            basis,
            size=f"up to {n} responses",
            foresee=foresee,
            shards=shards,
            amount=partial(int, n * (1 + config.samples)),
        )
        if folder is not None and task.problem():
            read_passages(folder, config.passage_words)  # what is wrong is said now, not later


def _settings(plan: Plan, domain: str) -> dict[str, Any]:
    """Return the settings that matter, documents by their content, wherever they are."""
    config = plan.config.respond
    folder = config.folder(domain)
    unused = {"documents", "batch_size"} | (set() if config.samples else {"temperature"})
    if folder is None:
        return config.model_dump(exclude=unused | {"retrieved", "passage_words"})
    shown = {path.relative_to(folder).as_posix(): hash_of(path) for path in documents(folder)}
    return config.model_dump(exclude=unused) | {"documents": shown}


def _template(plan: Plan) -> dict[str, Any]:
    """Return what the key knows of the template; answers are asked for alike in all but chats."""
    return plan.template if plan.base.template.name == "chat" else {}


foresee = partial(foresee_writing, "respond")


def shards(task: Task, session: Session) -> int:
    """Return how many shards of answers there will be, none of which depends on another."""
    asked = read_jsonl(task.inputs["instructions"].cell.path / "instructions.jsonl")
    return shards_in(len(asked), part_of(session, "respond"))


def respond(domain: Domain, job: Job) -> None:
    """Write ``responses.jsonl``: every instruction with its answer, or with why it has none.

    A response is kept as it was written (``continuation``, ``tokens``), from which experts learn,
    and without the whitespace around it (``response``), which is checked and shown.
    ``samples`` holds what was drawn besides the greedy answer, as far as it ended by itself;
    ``sources`` the passages that were shown, ``sources_dropped`` how many there was no room for.
    """
    config = job.session.config.respond
    seeds = read_seeds(job.input("seeds"))
    tasks = read_jsonl(job.input("instructions") / "instructions.jsonl")
    # Parts of similar length waste less on padding; the order is a function of the tasks.
    tasks.sort(key=lambda task: (len(task["instruction"]) + len(task["input"]), task["id"]))
    folder = config.folder(domain.name)
    finder = None if folder is None else Finder(read_passages(folder, config.passage_words))
    asking = Answering.of(domain.prompts(job.session.config.source), job.session.base)
    ask = partial(_prompt, job, asking, seeds, finder)
    with job.session.display.work(job.task.name) as update:
        writer = _Writer(job, ask, asking, update, len(tasks), part_of(job.session, "respond"))
        rows = in_shards(job.work, tasks, writer.part, writer, update, job.share)
    if len(rows) < job.session.config.brainstorm.n:
        job.remarks.append(f"{len(rows)} came")
    write_jsonl(job.out / "responses.jsonl", sorted(rows, key=lambda row: str(row["id"])))


def _as_written(new: Continuation, tokenizer: Any) -> Row:
    """Return the fields of an example that say what the base wrote."""
    spelling = list(new.spelling)
    text = text_behind(tokenizer, spelling)
    return {"response": new.text.strip(), "continuation": text, "tokens": spelling}


def _prompt(
    job: Job, asking: Answering, seeds: list[Seed], finder: Finder | None, task: Row
) -> tuple[Row, str | None]:
    """Return the row of a task, without its answer, and its prompt if one fits the context.

    Where there is no room, passages go first, the worst ones before others, then solved seeds.
    """
    config, base = job.session.config.respond, job.session.base
    shots = pick(seeds, config.shots, job.seed("shots", task["id"]))
    asked = Instruction(task["instruction"], task["input"])
    query = f"{asked.instruction} {asked.input}"
    found = finder.find(query, config.retrieved) if finder else []
    before: list[Seed | Passage] = [*shots, *found]

    def written(pieces: Sequence[Seed | Passage]) -> str:
        solved = [piece for piece in pieces if isinstance(piece, Seed)]
        shown = [piece.text for piece in pieces if isinstance(piece, Passage)]
        return asking(solved, asked, shown)

    room = base.context - config.max_new_tokens
    prompt = fit(written, before, partial(prompt_length, base.tokenizer), room)
    solved = [seed.id for seed in shots[: prompt.used]]
    row = {**task, "response": "", "problem": None, "solved_seeds": solved}
    if finder:
        shown = found[: max(0, prompt.used - len(shots))]
        row["sources"] = [asdict(passage.ref) for passage in shown]
        row["sources_dropped"] = len(found) - len(shown)
    if not prompt.fits:
        row["problem"] = "prompt too long"
    return row, prompt.text if prompt.fits else None


@dataclass(frozen=True)
class _Writer:
    """Lets the base answer tasks.

    Attributes:
        job: What for.
        ask: Turns a task into its row, without an answer, and its prompt if one fits.
        asking: Says what ends an answer.
        update: Shows progress.
        total: Tasks in all.
        part: Tasks a part, but for the last.
    """

    job: Job
    ask: Callable[[Row], tuple[Row, str | None]]
    asking: Answering
    update: Callable[..., None]
    total: int
    part: int

    def __call__(self, index: int, tasks: Sequence[Row]) -> list[Row]:
        """Return a part of the tasks with their responses, and with what else was drawn."""
        prompted = [self.ask(task) for task in tasks]
        asked = [(row, text) for row, text in prompted if text is not None]
        samples, before = self.job.session.config.respond.samples, index * self.part
        tokenizer = self.job.session.base.tokenizer
        told = partial(telling, self.update, total=self.total, share=1 / (1 + samples))
        kept = self.job.work / f"answers-{index:05d}"
        for (row, _), new in zip(asked, self._written(asked, kept, told(before)), strict=True):
            row |= _as_written(new, tokenizer)
            row["problem"] = None if new.finished else "unfinished response"
        if samples:
            self._draw(asked * samples, kept, told(before + len(asked) / (1 + samples)))
        return [row for row, _ in prompted]

    def _draw(self, asked: Sequence[tuple[Row, str]], kept: Path, told: Tell) -> None:
        """Add to rows what is drawn; a row is drawn for as often as it is given."""
        from selfmoe.models.generation import Sampling

        times: Counter[str] = Counter()
        seeds = []
        for row, _ in asked:
            times[row["id"]] += 1
            seeds.append(self.job.seed("sample", row["id"], times[row["id"]]))
        how = Sampling(self.job.session.config.respond.temperature, 1.0)
        drawn = self._written(asked, kept, told, sampling=how, seeds=seeds)
        tokenizer = self.job.session.base.tokenizer
        for (row, _), new in zip(asked, drawn, strict=True):
            if new.finished:
                row.setdefault("samples", []).append(_as_written(new, tokenizer))

    def _written(
        self, asked: Sequence[tuple[Row, str]], kept: Path, told: Tell, **how: Any
    ) -> list[Continuation]:
        config = self.job.session.config.respond
        return write(
            self.job.session,
            "respond",
            [text for _, text in asked],
            max_new_tokens=config.max_new_tokens,
            stop=self.asking.stop,
            ends=self.asking.ends,
            batch_size=config.batch_size,
            progress=told,
            kept=kept,
            **how,
        )
