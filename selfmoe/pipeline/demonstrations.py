"""The prompts with which the base answered the tasks that an expert learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from selfmoe.config.model import RunConfig
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Example, Instruction, LoadedBase, PassageRef, Seed
from selfmoe.pipeline.answering import Answering
from selfmoe.pipeline.records import read_seeds
from selfmoe.pipeline.retrieval import read_passages


class Demonstrations:
    """The prompts of the respond stage once more, from the records of what stood in them.

    Seeds and documents are read when a domain's first prompt is asked for.

    Args:
        config: The complete settings.
        data: The data cells, by domain.
        base: The base that answered.
    """

    def __init__(self, config: RunConfig, data: Mapping[str, Path], base: LoadedBase) -> None:
        self._own = {name: _Own(config, name, folder, base) for name, folder in data.items()}

    @property
    def stop(self) -> Sequence[str]:
        """Return the strings that ended the base's answers."""
        return list(dict.fromkeys(end for own in self._own.values() for end in own.asking.stop))

    def __call__(self, example: Example) -> str:
        """Return the prompt that the response of an example was written behind.

        Raises:
            StageError: If no base wrote it, or what stood in the prompt is not there any more.
        """
        if not example.continuation:
            raise StageError(
                f"example '{example.id}' of domain '{example.domain}' was not written by the base, "
                "so there is no prompt with demonstrations that the base wrote it behind\n"
                "  Leave specialise.trainer out: the default one learns from the words alone."
            )
        own = self._own[example.domain]
        solved = [own.solved(name, example) for name in example.solved]
        shown = [own.shown(ref, example) for ref in example.sources]
        return own.asking(solved, Instruction(example.instruction, example.input), shown)


class _Own:
    """What can stand in the prompts of a domain."""

    def __init__(self, config: RunConfig, name: str, data: Path, base: LoadedBase) -> None:
        self._config, self._name, self._data, self._base = config, name, data, base

    @cached_property
    def asking(self) -> Answering:
        domain: Domain = self._config.registry.configure("domain", self._name)
        return Answering.of(domain.prompts(self._config.source), self._base)

    def solved(self, name: str, example: Example) -> Seed:
        if name not in self._seeds:
            raise _lost(example, f"seed '{name}'", "seeds of the data")
        return self._seeds[name]

    def shown(self, ref: PassageRef, example: Example) -> str:
        if ref not in self._passages:
            raise _lost(example, f"passage {ref.number} of {ref.document}", "documents")
        return self._passages[ref]

    @cached_property
    def _seeds(self) -> Mapping[str, Seed]:
        return {seed.id: seed for seed in read_seeds(self._data)}

    @cached_property
    def _passages(self) -> Mapping[PassageRef, str]:
        config = self._config.respond
        folder = config.folder(self._name)
        found = [] if folder is None else read_passages(folder, config.passage_words)
        return {passage.ref: passage.text for passage in found}


def _lost(example: Example, what: str, where: str) -> StageError:
    return StageError(
        f"{what} stood in the prompt of example '{example.id}' and is not among the {where} now\n"
        "  Run respond and curate again, or leave specialise.trainer out."
    )
