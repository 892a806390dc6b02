"""The built-in domain `knowledge`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from selfmoe.contracts import Benchmark, Example, Rejected, Seed, Source, hookimpl
from selfmoe.kits.domains import MiniDomain, letter
from selfmoe_domain_knowledge import mmlu
from selfmoe_domain_knowledge.mini import FAMILIES, STYLE
from selfmoe_domain_knowledge.nq_open import NQOpen
from selfmoe_domain_knowledge.options import options_of
from selfmoe_domain_knowledge.triviaqa import TriviaQA
from selfmoe_domain_knowledge.truthfulqa import TruthfulQA

SELFMOE_API = 1


class Knowledge(MiniDomain):
    """Facts about the world, and MMLU on the benchmark track."""

    name = "knowledge"
    reference_url = "https://arxiv.org/abs/2009.03300"
    description = "general knowledge"
    default = True
    tracks = ("mini", "benchmark")
    families = FAMILIES
    style = STYLE

    def files(self, source: Source) -> Sequence[Path]:
        """Return MMLU's dev files and those of the items, where they are read from a folder."""
        return mmlu.files(source) if source.track != "mini" else ()

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` questions of MMLU's dev set, which no item repeats."""
        return mmlu.seeds(source, n, rng)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return MMLU, 0-shot, and three that are no targets."""
        return [mmlu.MMLU(source), NQOpen(source), TriviaQA(source), TruthfulQA(source)]

    def file_answer(self, response: str, source: Source) -> str | None:
        """Return the letter chosen or, where there is none, the last line."""
        return letter(response) or super().file_answer(response, source)

    def verify(self, example: Example, source: Source) -> Rejected | None:
        """Refuse answers that are none of the options which their task lists."""
        options = options_of(example.input)
        answer = (self.answer(example.response, source) or "").rstrip(".").casefold()
        return Rejected("none of the options") if options and answer not in options else None


@hookimpl
def register_domains() -> list[type[Knowledge]]:
    """Return the domain."""
    return [Knowledge]
