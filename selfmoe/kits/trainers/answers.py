"""Answers as tokens: those of the data, and those that a model writes while it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from selfmoe.contracts.records import Example, Instruction, Template
from selfmoe.contracts.trainer import TrainContext
from selfmoe.models.asking import end_of, prompt_of
from selfmoe.models.fitting.batches import encode_all
from selfmoe.models.generation import Sampling, generate


def answers_of(ctx: TrainContext) -> list[list[int]]:
    """Return the tokens that are learned of each example: its response and what ends it.

    Raises:
        StageError: If some do not fit the base's context.
        DataError: If one holds a token that the base has no row for.
    """
    rows = encode_all(ctx.data, ctx.base, f"training on {len(ctx.data)} examples")
    return [row.ids[row.prompt :] for row in rows]


def written(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    *,
    seeds: Sequence[int],
    max_new_tokens: int,
    stop: Sequence[str] = (),
    template: Template = "alpaca",
) -> list[Example]:
    """Return the tasks of examples with answers that a model draws at temperature 1.

    What ends an answer stands in the place of the last token that was written, be it that or where
    it was cut off: a row then has a label wherever a token was drawn, and nowhere else.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        examples: Whose tasks.
        seeds: What to draw by, one an example.
        max_new_tokens: Longest answer, in tokens.
        stop: Strings that end one besides end-of-text.
        template: How the tasks are put.
    """
    tasks = [Instruction(one.instruction, one.input) for one in examples]
    found = generate(
        model,
        tokenizer,
        [prompt_of(task, tokenizer, template) for task in tasks],
        max_new_tokens=max_new_tokens,
        stop=stop,
        ends=[end_of(tokenizer, template)],
        sampling=Sampling(1.0, 1.0),
        seeds=seeds,
        batch_size=len(examples),  # that of the machine's memory would change how logits round
    )
    return [
        replace(one, response="", continuation="", tokens=new.tokens[:-1])
        for one, new in zip(examples, found, strict=True)
    ]
