"""The base with demonstrations in context, reading answers as one that would write them.

It is read without an adapter and never learns, so what it makes of given answers is the same in
every epoch. What is kept of it are not its distributions but the states that its output head makes
them of: as many numbers a token as the model is wide, not as its vocabulary is large, and the same
distributions bit for bit. Prompts that begin alike have their beginning read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import Progress
from selfmoe.contracts.records import LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.models.fitting.batches import Encoded, collate, parts_of
from selfmoe.models.fitting.reading import Responses
from selfmoe.models.generation.prefixes import groups
from selfmoe.models.tokens import check_known, padding, prompt_ids
from selfmoe.store.files import commit_folder, is_intact


class Demonstrating:
    """A base that reads answers behind the prompts it has answered itself.

    Args:
        base: The base, without an adapter.
        prompts: Tokens of the prompt of each example.

    Attributes:
        head: Makes logits of states.
        prompts: As given.
    """

    def __init__(self, base: LoadedBase, prompts: Sequence[Sequence[int]]) -> None:
        self._base, self.prompts = base, prompts
        self._responses = Responses(base.model, base.blocks)
        self.head = self._responses.head

    @classmethod
    def of(cls, ctx: TrainContext) -> Demonstrating:
        """Return the teacher of a trainer's examples.

        Raises:
            StageError: If there is none, or it did not write the examples.
        """
        if ctx.teacher is None:
            raise StageError(
                "this trainer learns from the base with demonstrations in context, which it was "
                "not given\n  Pass TrainContext.teacher, or leave specialise.trainer out."
            )
        tokenizer = ctx.base.tokenizer
        prompts = [prompt_ids(tokenizer, ctx.teacher(example)) for example in ctx.data]
        for ids, example in zip(prompts, ctx.data, strict=True):
            check_known(tokenizer, ctx.base.model, ids, f"the prompt of example '{example.id}'")
        return cls(ctx.base, prompts)

    @property
    def longest(self) -> int:
        """Return the length of the longest prompt, in tokens."""
        return max(map(len, self.prompts))

    def parts(self, places: Sequence[int], answers: Sequence[Sequence[int]]) -> list[list[Encoded]]:
        """Return answers in the parts they are read in, those together that begin alike.

        Args:
            places: Of the examples that are answered.
            answers: Tokens of an answer to each.

        Raises:
            StageError: If one does not fit the context behind its prompt.
        """
        rows = [self._row(*pair) for pair in zip(places, answers, strict=True)]
        found = groups([row.ids[: row.prompt] for row in rows])
        device = next(self._base.model.parameters()).device
        return [
            part
            for group in found
            for part in parts_of([rows[number] for number in group.rows], None, device)
        ]

    def read(self, part: Sequence[Encoded]) -> dict[int, Tensor]:
        """Return the states before each token of answers, shape ``(tokens, width)``, by place."""
        device = next(self._base.model.parameters()).device
        with torch.no_grad():
            states, _ = self._responses.read(collate(part, padding(self._base.tokenizer), device))
        sizes = [len(row.ids) - row.prompt for row in part]
        return dict(zip((row.row for row in part), torch.split(states, sizes), strict=True))

    def _row(self, place: int, answer: Sequence[int]) -> Encoded:
        prompt = self.prompts[place]
        ids = [*prompt, *answer]
        if len(ids) > self._base.context:
            raise StageError(
                f"an answer of {len(answer)} tokens behind the {len(prompt)} of its prompt with "
                f"demonstrations does not fit the base's context of {self._base.context}\n"
                "  Lower respond.shots, or leave specialise.trainer out."
            )
        return Encoded(ids, len(prompt), "", place)


class KeptStates:
    """A teacher's states of all examples, on disk, in parts that are complete or absent.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[int, Path] = {}

    def keep(
        self, teacher: Demonstrating, answers: Sequence[Sequence[int]], progress: Progress
    ) -> None:
        """Let a teacher read what is not there yet.

        Args:
            teacher: The teacher.
            answers: Tokens of the answer to each of its prompts.
            progress: Is told of what is read.
        """
        parts = teacher.parts(range(len(answers)), answers)
        for number, part in enumerate(parts):
            folder = self._folder / f"part-{number:06d}"
            if not is_intact(folder):
                commit_folder(folder, partial(_save, teacher.read(part)))
                progress(number + 1, len(parts), "read by the teacher")
            self._found |= {row.row: folder / _FILE for row in part}

    def of(self, places: Sequence[int], device: torch.device) -> Tensor:
        """Return the states of examples one behind the other, shape ``(tokens, width)``."""
        return torch.cat([self._one(place) for place in places]).to(device)

    def _one(self, place: int) -> Tensor:
        with safe_open(self._found[place], "pt") as file:
            states: Tensor = file.get_tensor(str(place))
        return states


_FILE = "states.safetensors"


def _save(states: Mapping[int, Tensor], folder: Path) -> None:
    kept = {str(row): one.cpu().contiguous() for row, one in states.items()}
    save_file(kept, folder / _FILE)
