"""The domain `biomed`, a distribution of its own and a model for yours."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from selfmoe.contracts import Benchmark, Seed, Source, hookimpl
from selfmoe.kits.domains import MiniDomain
from selfmoe_domain_biomed import pubmedqa
from selfmoe_domain_biomed.mini import FAMILIES, STYLE

SELFMOE_API = 1


class Biomed(MiniDomain):
    """Biomedical facts, and PubMedQA on the benchmark track."""

    name = "biomed"
    reference_url = "https://arxiv.org/abs/1909.06146"
    description = "biomedical"
    tracks = ("mini", "benchmark")
    families = FAMILIES
    style = STYLE

    def files(self, source: Source) -> Sequence[Path]:
        """Return PubMedQA's file, where seeds are read from one."""
        return () if source.track == "mini" else pubmedqa.PubMedQA(source).files()

    def file_seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` questions of PubMedQA that are in neither of its scored splits."""
        return pubmedqa.seeds(source, n, rng)

    def file_benchmarks(self, source: Source) -> list[Benchmark]:
        """Return PubMedQA."""
        return [pubmedqa.PubMedQA(source)]


@hookimpl
def register_domains() -> list[type[Biomed]]:
    """Return the domain."""
    return [Biomed]
