"""Base class for benchmarks in their upstream formats: from a folder, or from the hub.

Nothing is read before items are looked at, so a domain can list benchmarks whose files are not
there:

    class Riddles(UpstreamBenchmark):
        "Riddles with one-word answers."
        name = "riddles"

        def paths(self, split):
            return [locate(self.data_dir, "riddles", f"{split}.jsonl")]

        def read(self, split):
            if self.source.data_dir is None:
                return hub_rows("someone/riddles", None, split)
            return jsonl_rows(*self.paths(split), ("question", "answer"))
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import ScoredSplit, Source

Doc = Mapping[str, Any]


class UpstreamBenchmark(Benchmark):
    """A benchmark that reads its items from ``source.data_dir`` or, without one, from the hub.

    Attributes:
        source: Where from, and which split.
        hub: Its name on the hub, for messages and the documentation.
    """

    template = "plain"
    hub: str = ""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.remote = source.data_dir is None

    @abstractmethod
    def paths(self, split: ScoredSplit) -> Sequence[Path]:
        """Return the files that items and examples of a split are read from, in ``data_dir``.

        Raises:
            MissingDataError: If one is not there.
        """

    @abstractmethod
    def read(self, split: ScoredSplit) -> Sequence[Doc]:
        """Return the items of a split.

        Raises:
            DataError: If the data is missing or malformed.
        """

    def examples(self) -> Sequence[Doc]:
        """Return the solved examples that may be shown, in order (default: none)."""
        return ()

    def facts(self) -> Mapping[str, Any]:
        """Return what to show beside the score, such as which files were there."""
        return {}

    def files(self) -> Sequence[Path]:
        """Return the files of the source's split; none if the hub is asked."""
        return () if self.source.data_dir is None else self.paths(self.source.split)

    @property
    def data_dir(self) -> Path:
        """Return the folder of upstream files.

        Raises:
            DataError: If there is none because the hub is asked.
        """
        if self.source.data_dir is None:
            raise DataError(f"benchmark '{self.name}' is read from the hub, not from files")
        return self.source.data_dir

    @cached_property
    def items(self) -> Sequence[Doc]:
        """The items of the source's split."""
        return self.read(self.source.split)

    @cached_property
    def pool(self) -> Sequence[Doc]:
        """The solved examples."""
        return self.examples()

    @cached_property
    def extra(self) -> Mapping[str, Any]:
        """The facts."""
        return self.facts()
