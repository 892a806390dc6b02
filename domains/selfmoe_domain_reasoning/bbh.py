"""BIG-Bench Hard (https://github.com/suzgunmirac/BIG-Bench-Hard): 27 tasks, asked step by step.

BBH has one pool of items. Of every task, positions 0 to 9 are for seeds and 10 to 19 for tuning
(``split="dev"``); the test items are the rest, so that ``n`` is 20 smaller a task than upstream's:
5 971 where all 27 tasks are there.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from selfmoe.contracts import DataError, Instruction, ScoredSplit, Seed, Source, normalise
from selfmoe.kits.domains import UpstreamBenchmark, item_keys, tidy
from selfmoe_domain_reasoning import bbh_files
from selfmoe_domain_reasoning.bbh_answers import answer_line, same
from selfmoe_domain_reasoning.bbh_files import CUE, SAID, TASKS

Doc = Mapping[str, Any]

SEEDS, DEV, TEST = slice(0, 10), slice(10, 20), slice(20, None)
"""Positions within a task."""


class BBH(UpstreamBenchmark):
    """Three worked examples of the task, then the question; the stated answer decides.

    Items are taken from the tasks in turn, so that a limit covers them evenly; each is shown the
    examples of its own task. ``score`` asks for "the answer is X.", the first one counts, where X
    is upstream's answer to the letter. ``lenient`` takes X in any form: see ``bbh_answers``.
    Only tasks whose files are there are asked; ``extra`` says which are not.

    Differs from lm-eval's ``bbh_cot_fewshot``: answers end after 256 tokens, not 1 024; the first
    20 items of a task are not scored. From a folder, the examples are those of ``cot-prompts``;
    where one goes on in the line of "Let's think step by step.", a line break is put, as lm-eval
    has it. In the Alpaca template its stop strings, a blank line among them, do not hold.
    """

    name = "bbh"
    hub = bbh_files.HUB
    shots = 3
    max_new_tokens = 256
    stop = ("</s>", "Q", "\n\n")
    rule = (
        "What follows the first 'the answer is ' on its line, less the line's last character, must "
        "be the answer as upstream writes it. Leniently, an option may be named by its letter or "
        "text, words in any case, numbers in any notation, lists and brackets in any spacing; "
        "without a stated answer the last line counts."
    )

    def stops(self, template: str) -> tuple[str, ...]:
        """Return the strings that end an answer: lm-eval's, in its own template only."""
        return self.stop if template == "plain" else ()

    def paths(self, split: ScoredSplit) -> Sequence[Path]:
        """Return the task files and those of the worked examples."""
        tasks = bbh_files.present(self.data_dir)
        return [*tasks.values(), *(bbh_files.prompt_file(self.data_dir, task) for task in tasks)]

    def read(self, split: ScoredSplit) -> Sequence[Doc]:
        """Return the items of a split, the tasks in turn."""
        return self.part(TEST if split == "test" else DEV)

    def part(self, positions: slice) -> list[Doc]:
        """Return the items at some positions of every task, the tasks in turn."""
        return _in_turn(_docs(self.source.data_dir, task)[positions] for task in self.tasks())

    def examples(self) -> Sequence[Doc]:
        """Return the worked examples, task by task."""
        return [doc for task in self.tasks() for doc in _worked(self.source.data_dir, task)]

    def tasks(self) -> Sequence[str]:
        """Return the tasks that are there; from the hub all."""
        folder = self.source.data_dir
        return TASKS if folder is None else tuple(bbh_files.present(folder))

    def facts(self) -> Mapping[str, Any]:
        """Return the tasks asked and those whose files are missing."""
        tasks = self.tasks()
        return {"tasks": list(tasks), "tasks_missing": [t for t in TASKS if t not in tasks]}

    def group(self, doc: Doc) -> str:
        """Return the task."""
        return str(doc["task"])

    def ask(self, doc: Doc) -> Instruction:
        """Return the task's description, the question as its input."""
        return Instruction(tidy(doc["description"]), tidy(doc["input"]))

    def preamble(self, doc: Doc) -> str:
        """Return the task's description."""
        return str(doc["description"])

    def plain(self, doc: Doc) -> str:
        """Return the question and the line that asks for steps."""
        return f"Q: {doc['input']}\n{CUE}\n"

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return ``score`` and ``lenient``, each 0 or 1."""
        strict = _said(completion) == doc["target"]
        lenient = strict or same(doc["input"], doc["target"], completion)
        return {"score": float(strict), "lenient": float(lenient)}

    def extract(self, doc: Doc, completion: str) -> str | None:
        """Return the stated answer; without one the last line, which only ``lenient`` reads."""
        return _said(completion) or answer_line(completion) or None

    def gold(self, doc: Doc) -> str:
        """Return the worked answer of an example; items have none, only what it ends in."""
        return str(doc.get("worked") or f"So the answer is {doc['target']}.")

    def wrong(self, doc: Doc) -> str:
        """Return the answer to another item of the task."""
        others = (item["target"] for item in self.items if item["task"] == doc["task"])
        other = next((o for o in others if o.casefold() != doc["target"].casefold()), "unknown")
        return f"So the answer is {other}."


def seeds(source: Source, n: int, rng: random.Random) -> list[Seed]:
    """Return ``n`` seeds, evenly over the tasks: worked examples first, then reserved items.

    The worked examples are upstream's three a task, the only ones with steps: 69 where all tasks
    are there, for some tasks share theirs. They are what evaluation shows before its questions,
    and never scored. From then on seeds are items at positions 0 to 9 with the bare answer, so
    ``seeds.n`` up to the number of worked examples gives experts that were shown steps only.

    Raises:
        DataError: If the data is missing, malformed, or gives fewer seeds.
    """
    benchmark = BBH(source)
    taken = set(item_keys(benchmark))
    taken |= {
        _key(benchmark, doc) for doc in benchmark.part(DEV if source.split == "test" else TEST)
    }
    drawn: list[Doc] = []
    for part in (benchmark.pool, benchmark.part(SEEDS)):
        new = {_key(benchmark, doc): doc for doc in part}
        drawn += _shuffled([doc for key, doc in new.items() if key not in taken], rng)
        taken |= set(new)
    if n > len(drawn):
        raise DataError(
            f"BBH has {len(drawn)} worked examples and reserved items for seeds, {n} were asked for"
        )
    return [_seed(benchmark, doc) for doc in drawn[:n]]


def _shuffled(docs: Iterable[Doc], rng: random.Random) -> list[Doc]:
    """Return docs in random order, the tasks in turn."""
    by_task: dict[str, list[Doc]] = {}
    for doc in docs:
        by_task.setdefault(doc["task"], []).append(doc)
    tasks = list(by_task.values())
    rng.shuffle(tasks)
    return _in_turn(rng.sample(docs, len(docs)) for docs in tasks)


def _seed(benchmark: BBH, doc: Doc) -> Seed:
    task = benchmark.ask(doc)
    return Seed(doc["id"], task.instruction, task.input, tidy(benchmark.gold(doc)))


def _key(benchmark: BBH, doc: Doc) -> str:
    task = benchmark.ask(doc)
    return normalise(task.instruction, task.input)


def _in_turn(tasks: Iterable[Sequence[Doc]]) -> list[Doc]:
    return [doc for doc in chain.from_iterable(zip_longest(*tasks)) if doc is not None]


def _docs(folder: Path | None, task: str) -> list[Doc]:
    description = bbh_files.read_prompt(folder, task).description
    return [
        {
            "id": f"bbh-{task}-{position}",
            "task": task,
            "description": description,
            "input": question,
            "target": answer,
        }
        for position, (question, answer) in enumerate(bbh_files.rows(folder, task))
    ]


def _worked(folder: Path | None, task: str) -> list[Doc]:
    prompt = bbh_files.read_prompt(folder, task)
    return [
        {
            "id": f"bbh-{task}-worked-{number}",
            "task": task,
            "description": prompt.description,
            "input": question,
            "target": _said(worked),
            "worked": worked,
        }
        for number, (question, worked) in enumerate(prompt.worked)
    ]


def _said(completion: str) -> str | None:
    found = SAID.search(completion)
    return found[1].strip() if found else None
