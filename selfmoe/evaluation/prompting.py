"""What a benchmark item looks like to the model, and how much of it fits.

A prompt is *preamble + solved examples + question*. Five templates:

``alpaca``
    What experts are trained on and asked with; solved examples are finished Alpaca blocks.
``examples``
    The layout of the respond stage (``Instruction: … Response: …``), which base models know from
    there: meant for the row "base, 5 examples".
``plain``
    The benchmark's own layout, as in lm-eval; answers follow their question after one space.
``chat``
    The base's own chat template; solved examples are turns of user and assistant.
``bare``
    The task with nothing around it, where experts are trained on that; solved examples are the same
    with their answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import ConfigError, StageError
from selfmoe.contracts.prompts import Prompts, alpaca, plain, turn
from selfmoe.contracts.randomness import rng_for
from selfmoe.contracts.records import Instruction, Seed
from selfmoe.models.chat import Chat
from selfmoe.models.context import Prompt, fit

Doc = Mapping[str, Any]

TEMPLATE_STOPS: dict[str, tuple[str, ...]] = {
    "alpaca": ("### Instruction:", "Below is an instruction"),
    "examples": ("\n\nInstruction:",),
    "plain": (),
    "chat": (),
    "bare": (),
}
"""Where a model that goes on with a task of its own is cut off."""


@dataclass(frozen=True)
class Prompter:
    """Writes the prompts of one benchmark.

    Attributes:
        benchmark: Where items and examples come from.
        template: One of the five.
        shots: Solved examples, in order; an item is shown those of its group, and the last ones
            are dropped first.
        count: Says how many tokens a text is, special tokens included.
        context: Longest sequence of the model, in tokens, prompt and answer together.
        chat: The base's chat template, for that.
    """

    benchmark: Benchmark
    template: str
    shots: Sequence[Doc]
    count: Callable[[str], int]
    context: int
    chat: Chat | None = None

    @property
    def asked(self) -> int:
        """How many examples stand before an item if all fit."""
        return max(Counter(map(self.benchmark.group, self.shots)).values(), default=0)

    def fit(self, doc: Doc) -> Prompt:
        """Return the prompt of an item with as many examples as the context allows."""
        room = self.context - self._answer_tokens(doc)
        group = self.benchmark.group(doc)
        examples = [shot for shot in self.shots if self.benchmark.group(shot) == group]
        write = partial(render, self.benchmark, doc, template=self.template, chat=self.chat)
        return fit(write, examples, self.count, room)

    def _answer_tokens(self, doc: Doc) -> int:
        options = self.benchmark.choices(doc)
        if options is None:
            return self.benchmark.max_new_tokens
        lead = " " if self.chat is None else self.chat.answer(" ")
        return max(self.count(lead + option) for option in options)


def choose_shots(benchmark: Benchmark, n: int | None, seed: int | None) -> list[Doc]:
    """Return the solved examples that stand before the questions of a benchmark.

    Args:
        benchmark: Its ``pool`` is drawn from.
        n: How many in each of its groups; ``None`` for as many as the benchmark prescribes.
        seed: ``None`` for the first ``n`` in the order of the pool (what protocols with fixed
            examples ask for), a number for a random list that depends on it alone.

    Raises:
        ConfigError: If the pool, or one of its groups, is smaller than ``n``.
    """
    n = benchmark.shots if n is None else n
    groups: dict[str, list[Doc]] = {}
    for doc in benchmark.pool:
        groups.setdefault(benchmark.group(doc), []).append(doc)
    fewest = min(map(len, groups.values()), default=0)
    if not 0 <= n <= fewest:
        raise ConfigError(
            f"{n} solved examples were asked for, but benchmark '{benchmark.name}' has "
            f"only {fewest} to show\n  Lower evaluate.base_shots."
        )
    if seed is None:
        return [doc for docs in groups.values() for doc in docs[:n]]
    rng = rng_for("shots", benchmark.name, seed)
    return [doc for docs in groups.values() for doc in rng.sample(docs, n)]


def render(
    benchmark: Benchmark, doc: Doc, shots: Sequence[Doc], template: str, chat: Chat | None = None
) -> str:
    """Return the prompt of an item after solved examples.

    Args:
        benchmark: Whose item.
        doc: The item.
        shots: The examples.
        template: One of the five.
        chat: The base's chat template, for that.

    Raises:
        ConfigError: If there is no such template, or none of the base's is given.
        DataError: If the base's chat template refuses the turns.
    """
    task = benchmark.ask(doc)
    if template == "plain":
        return _own(benchmark, doc, shots)
    if template == "examples":
        return Prompts().respond([_seed(benchmark, shot) for shot in shots], task)
    if template == "chat":
        if chat is None:
            raise ConfigError("evaluate.template is 'chat', and the base has no chat template")
        turns = [(turn(benchmark.ask(shot)), benchmark.gold(shot)) for shot in shots]
        return chat.prompt(turn(task), turns)
    if template in _BLOCKS:
        write = _BLOCKS[template]
        blocks = [write(benchmark.ask(shot)) + benchmark.gold(shot) for shot in shots]
        return "\n\n".join([*blocks, write(task)])
    raise ConfigError(
        f"evaluate.template is '{template}'\n  Allowed: {', '.join(sorted(TEMPLATE_STOPS))}."
    )


_BLOCKS: Mapping[str, Callable[[Instruction], str]] = {"alpaca": alpaca, "bare": plain}


def _own(benchmark: Benchmark, doc: Doc, shots: Sequence[Doc]) -> str:
    solved = [_join(benchmark.plain(shot), benchmark.gold(shot)) for shot in shots]
    ended = "".join(text + benchmark.separator for text in solved)
    return benchmark.preamble(doc) + ended + benchmark.plain(doc)


def refuse_overflow(benchmark_id: str, prompts: Sequence[Prompt], asked: int) -> None:
    """Stop if a prompt lost examples or does not fit (``evaluate.overflow=error``).

    Raises:
        StageError: Naming how many prompts are concerned and the longest of them.
    """
    cut = [prompt for prompt in prompts if not prompt.fits or prompt.used < asked]
    if cut:
        raise StageError(
            f"{len(cut)} of {len(prompts)} prompts of '{benchmark_id}' are too long for the "
            f"model's context with {asked} examples\n"
            "  Set evaluate.overflow=fewer-shots."
        )


def _join(question: str, answer: str) -> str:
    return question + answer if question[-1:].isspace() else f"{question} {answer}"


def _seed(benchmark: Benchmark, doc: Doc) -> Seed:
    task: Instruction = benchmark.ask(doc)
    return Seed("", task.instruction, task.input, benchmark.gold(doc))
