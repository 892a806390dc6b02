"""The built-in domain `reasoning`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from selfmoe.contracts import Benchmark, Seed, Source, hookimpl
from selfmoe.kits.domains import MiniDomain
from selfmoe_domain_reasoning import bbh
from selfmoe_domain_reasoning.bbh_answers import one_form
from selfmoe_domain_reasoning.hellaswag import HellaSwag
from selfmoe_domain_reasoning.mini import FAMILIES, STYLE
from selfmoe_domain_reasoning.piqa import PIQA

SELFMOE_API = 1


class Reasoning(MiniDomain):
    """Step-by-step reasoning, and BIG-Bench Hard on the benchmark track.

    BBH's tasks are templates: within one, items share whole sentences or, as in bracket sequences,
    all their words. Similar tasks are therefore no duplicates, only equal ones are.
    """

    name = "reasoning"
    reference_url = "https://arxiv.org/abs/2210.09261"
    description = "step-by-step reasoning"
    default = True
    tracks = ("mini", "benchmark")
    templated = frozenset({"mini", "benchmark"})
    families = FAMILIES
    style = STYLE

    def files(self, source: Source) -> Sequence[Path]:
        """Return BBH's task files and worked examples, where they are read from a folder."""
        return bbh.BBH(source).files() if source.track != "mini" else ()

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` worked examples and reserved items of BBH."""
        return bbh.seeds(source, n, rng)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return BBH, 3-shot with chain of thought, and beside it PIQA and HellaSwag, 0-shot."""
        return [bbh.BBH(source), PIQA(source), HellaSwag(source)]

    def file_answer(self, response: str, source: Source) -> str | None:
        """Return the stated answer, or the last line, in one form."""
        return one_form(response)


@hookimpl
def register_domains() -> list[type[Reasoning]]:
    """Return the domain."""
    return [Reasoning]
