"""Finding passages of unlabelled domain text that bear on a task: BM25 over a folder of documents.

    finder = Finder(read_passages(Path("notes"), words=100))
    finder.find("Which organ makes insulin?", 3)

The second half of Self-Specialization (arXiv 2310.00160): what is found stands in the prompt when
the base model answers its own tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from selfmoe.contracts.words import terms
from selfmoe.pipeline.retrieval.passages import Passage, read_passages

__all__ = ["Finder", "Passage", "read_passages"]

K1, B = 1.5, 0.75
"""How soon repetition of a word stops to count, and how much length does (usual values)."""


class Finder:
    """Ranks passages by BM25 (Robertson and Zaragoza 2009), with Lucene's idf, which is > 0."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG
        self._passages = passages
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64")
        self._index.index([terms(one.text) for one in passages], show_progress=False)

    def find(self, query: str, n: int) -> list[Passage]:
        """Return up to ``n`` passages, best first, of equal ones the first in reading order.

        Those that share no word with the query are never among them.
        """
        asked = terms(query)
        if not asked:
            return []
        scores = self._index.get_scores(asked)
        best = (-scores).argsort(kind="stable")[:n].tolist()
        return [self._passages[place] for place in best if scores[place] > 0]
