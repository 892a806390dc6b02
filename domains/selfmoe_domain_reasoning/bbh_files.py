"""Reading BIG-Bench Hard: task files, worked examples, and the same from the hub.

Upstream (https://github.com/suzgunmirac/BIG-Bench-Hard) keeps ``bbh/<task>.json`` with
``examples[].input`` and ``.target``, and ``cot-prompts/<task>.txt`` with a canary line, a
description and three worked examples. The canary stays in the files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from selfmoe.contracts import DataError, MissingDataError
from selfmoe.kits.domains import hub_rows, json_file, locate, read_text, stock_settings

HUB = "SaylorTwift/bbh"
CUE = "A: Let's think step by step."
SAID = re.compile(r"the answer is (.*).")
"""A stated answer: the rest of the line without its last character, the full stop."""

TASKS = (
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "dyck_languages",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
    "word_sorting",
)


class Prompt(NamedTuple):
    """What stands before the questions of a task: its description, (question, worked answer)."""

    description: str
    worked: list[tuple[str, str]]


def present(data_dir: Path) -> dict[str, Path]:
    """Return ``task -> file`` for the tasks that are there, in the order of ``TASKS``.

    Raises:
        MissingDataError: If there is none.
    """
    found = {}
    for task in TASKS:
        for path in (data_dir / "bbh" / f"{task}.json", data_dir / f"{task}.json"):
            if path.exists():
                found[task] = path
                break
    if not found:
        raise MissingDataError(
            f"no bbh data in {data_dir}: neither there nor in its folder bbh is a task file\n"
            f"  Expected: one or more of the 27, such as {TASKS[0]}.json. Leave --data-dir out to "
            "fetch them from the hub."
        )
    return found


def prompt_file(data_dir: Path, task: str) -> Path:
    """Return the file with the worked examples of a task.

    Raises:
        MissingDataError: If it is not there.
    """
    return locate(data_dir, "bbh", f"cot-prompts/{task}.txt")


def rows(data_dir: Path | None, task: str) -> list[tuple[str, str]]:
    """Return the (question, answer) pairs of a task in upstream order.

    Raises:
        DataError: If the data is missing or malformed; names file, item and field.
    """
    found: Sequence[object]
    if data_dir is None:
        where, found = f"{HUB} ({task})", hub_rows(HUB, task, "test")
    else:
        path = present(data_dir)[task]
        where, found = str(path), _examples(path)
    if not found:
        raise DataError(f"{where} holds no items\n  Was the download complete?")
    return [
        (_text(row, "input", f"{where}, item {i}"), _text(row, "target", f"{where}, item {i}"))
        for i, row in enumerate(found, start=1)
    ]


def read_prompt(data_dir: Path | None, task: str) -> Prompt:
    """Return the description and the worked examples of a task.

    The hub has none: then they are those that lm-eval carries, which are the same texts.

    Raises:
        DataError: If they are missing or malformed.
    """
    if data_dir is None:
        return _from_harness(task)
    path = prompt_file(data_dir, task)
    text = read_text(path)
    description, *shots = text.partition("\n-----\n")[2].rstrip().split("\n\nQ: ")
    pairs = [shot.split(f"\n{CUE}") for shot in shots]
    if not pairs or any(len(pair) != 2 or SAID.search(pair[1]) is None for pair in pairs):
        raise DataError(
            f"{path} is no file of worked examples\n  Expected: a line '-----', a description, "
            f"then 'Q:' questions with '{CUE}' and a text that says 'the answer is …'."
        )
    return Prompt(f"{description}\n\n", [(q, worked.strip()) for q, worked in pairs])


def _examples(path: Path) -> Sequence[object]:
    content = json_file(path)
    examples = content.get("examples") if isinstance(content, Mapping) else None
    if not isinstance(examples, list):
        raise DataError(f"{path}: field 'examples' is missing or no list")
    return examples


def _text(row: object, field: str, where: str) -> str:
    value = row.get(field) if isinstance(row, Mapping) else None
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: field '{field}' is missing or no text")
    return value.strip()


def _from_harness(task: str) -> Prompt:
    """Return what lm-eval shows before the questions of a task."""
    name = f"bbh/cot_fewshot/{task}.yaml"
    stock = stock_settings(name)
    try:
        samples = [(s["input"], s["target"]) for s in stock["fewshot_config"]["samples"]]
        return Prompt(stock["description"], samples)
    except (KeyError, TypeError) as error:
        raise DataError(f"lm-eval's {name} has no examples: {error!r}") from None
