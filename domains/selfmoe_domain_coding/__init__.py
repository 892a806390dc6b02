"""The built-in domain `coding`."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from pathlib import Path

from selfmoe.contracts import Benchmark, Example, Rejected, Seed, Source, hookimpl
from selfmoe.kits.domains import MiniDomain, parse_code
from selfmoe_domain_coding import mbpp
from selfmoe_domain_coding.checks import refuse_failing_examples, refuse_other_than_functions
from selfmoe_domain_coding.humaneval import HumanEval
from selfmoe_domain_coding.mini import FAMILIES, STYLE
from selfmoe_domain_coding.training import seeds

SELFMOE_API = 1


class Coding(MiniDomain):
    """Short Python functions, judged by hidden tests in the sandbox."""

    name = "coding"
    reference_url = "https://arxiv.org/abs/2107.03374"
    description = "Python programming"
    default = True
    tracks = ("mini", "benchmark")
    checked_by_running = frozenset({"benchmark"})
    verifies_by_running = True
    families = FAMILIES
    style = STYLE

    def files(self, source: Source) -> Sequence[Path]:
        """Return MBPP's file where it is read from a folder."""
        if source.track == "mini" or source.data_dir is None:
            return ()
        return [mbpp.path(source.data_dir)]

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` training problems of MBPP in the form of HumanEval."""
        return seeds(source, n, rng)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return HumanEval, 0-shot, and beside it MBPP, 3-shot."""
        return [HumanEval(source), mbpp.MBPP(source)]

    def accept(self, example: Example, source: Source) -> Rejected | None:
        """Refuse, beside the mini track, answers that are not the function asked for."""
        return None if source.track == "mini" else refuse_other_than_functions(example)

    def verify(self, example: Example, source: Source) -> Rejected | None:
        """Refuse programs that fail the examples which their task shows."""
        return refuse_failing_examples(example)

    def file_answer(self, response: str, source: Source) -> str | None:
        """Return the program in a response without its layout."""
        code = parse_code(response)
        try:
            return (ast.unparse(code) or None) if code else None
        except RecursionError:  # writing a tree out goes deeper than parsing it
            return None


@hookimpl
def register_domains() -> list[type[Coding]]:
    """Return the domain."""
    return [Coding]
