"""The built-in domain `math`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from selfmoe.contracts import Benchmark, Example, Rejected, Seed, Source, hookimpl
from selfmoe.kits.domains import MiniDomain, final_number
from selfmoe_domain_math import gsm8k
from selfmoe_domain_math.equations import false_equation
from selfmoe_domain_math.math_problems import MathProblems
from selfmoe_domain_math.mini import FAMILIES, STYLE

SELFMOE_API = 1


class Math(MiniDomain):
    """Grade-school word problems, and GSM8K on the benchmark track."""

    name = "math"
    reference_url = "https://arxiv.org/abs/2110.14168"
    description = "grade-school mathematics"
    default = True
    tracks = ("mini", "benchmark")
    families = FAMILIES
    style = STYLE

    def files(self, source: Source) -> Sequence[Path]:
        """Return GSM8K's two files where they are read from a folder."""
        return gsm8k.files(source) if source.track != "mini" else ()

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` solved problems of GSM8K's training set."""
        return gsm8k.seeds(source, n, rng)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return GSM8K, 8-shot with chain of thought, and MATH, 4-shot, which is no target."""
        return [gsm8k.GSM8K(source), MathProblems(source)]

    def file_answer(self, response: str, source: Source) -> str | None:
        """Return the final number."""
        return final_number(response)

    def verify(self, example: Example, source: Source) -> Rejected | None:
        """Refuse answers that write down an equation which does not hold."""
        return Rejected("false equation") if false_equation(example.response) else None


@hookimpl
def register_domains() -> list[type[Math]]:
    """Return the domain."""
    return [Math]
