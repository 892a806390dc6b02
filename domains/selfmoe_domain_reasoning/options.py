"""What PIQA and HellaSwag share: options told apart by how likely they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfmoe.kits.domains import UpstreamBenchmark

Doc = Mapping[str, Any]


class Options(UpstreamBenchmark):
    """One of the options that an item lists as ``choices``; ``label`` is the right one's place.

    Items are those of the validation set; there are none for tuning.
    """

    role = "non-target"
    splits = ("test",)
    max_new_tokens = 1

    def choices(self, doc: Doc) -> Sequence[str]:
        """Return the options."""
        return tuple(doc["choices"])

    def score(self, doc: Doc, completion: str) -> Mapping[str, float]:
        """Return 1 for the right option."""
        return {"score": float(completion.strip() == self.gold(doc).strip())}

    def gold(self, doc: Doc) -> str:
        """Return the right option."""
        return str(doc["choices"][doc["label"]])

    def wrong(self, doc: Doc) -> str:
        """Return the first option that is not the right one."""
        gold = self.gold(doc).strip()
        others = (option for option in doc["choices"] if option.strip() != gold)
        return str(next(others, "unknown"))
