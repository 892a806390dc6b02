"""Names that are made of parts: of cells, of benchmarks, and of what a system answered.

Nothing else joins or cuts them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellName:
    """What a manifest calls a cell: ``<stage>/<label>``.

    Attributes:
        stage: Name of the stage that makes it.
        label: What it is about; may hold further slashes.
    """

    stage: str
    label: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.label}"

    @classmethod
    def parse(cls, text: str) -> CellName:
        """Return the name that ``str`` made a text of.

        Raises:
            ValueError: If the text has no slash.
        """
        return cls(*_halves(text, "<stage>/<label>"))


@dataclass(frozen=True, slots=True)
class BenchmarkName:
    """What a benchmark is called among those of all domains: ``<domain>/<name>``.

    Attributes:
        domain: The domain it belongs to.
        name: What the domain calls it.
    """

    domain: str
    name: str

    def __str__(self) -> str:
        return f"{self.domain}/{self.name}"

    @property
    def stem(self) -> str:
        """Return the first part of the names of its files: ``<domain>.<name>``."""
        return f"{self.domain}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> BenchmarkName:
        """Return the name that ``str`` made a text of.

        Raises:
            ValueError: If the text has no slash.
        """
        return cls(*_halves(text, "<domain>/<benchmark>"))

    @classmethod
    def parse_stem(cls, stem: str) -> BenchmarkName:
        """Return the name that files are called by, ``stem``."""
        domain, _, name = stem.partition(".")
        return cls(domain, name)


@dataclass(frozen=True, slots=True)
class EvaluationName:
    """What is called by a system and what it was asked: ``<system>/<domain>/<benchmark>``.

    It is the label of the cells of the stage ``evaluate``.

    Attributes:
        system: The system's name.
        benchmark: What it was asked.
    """

    system: str
    benchmark: BenchmarkName

    def __str__(self) -> str:
        return f"{self.system}/{self.benchmark}"

    @classmethod
    def parse(cls, text: str) -> EvaluationName:
        """Return the name that ``str`` made a text of.

        Raises:
            ValueError: If the text has not two slashes.
        """
        system, benchmark = _halves(text, "<system>/<domain>/<benchmark>")
        return cls(system, BenchmarkName.parse(benchmark))


def _halves(text: str, shape: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if not slash:
        raise ValueError(f"'{text}' is no name of the form {shape}")
    return first, rest
