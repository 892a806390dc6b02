"""Which template tasks are put to a base in; told from its files, before anything is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import DataError
from selfmoe.contracts.records import LoadedBase, Template
from selfmoe.models.chat import chat_of, hash_of_source, source_of
from selfmoe.models.tokens import check_known, prompt_ids

OWN_FILE = "chat_template.jinja"


@dataclass(frozen=True)
class ChosenTemplate:
    """The template of a run.

    Attributes:
        name: Of the template.
        why: Why this one, in words.
        chat: First 10 hex digits of the sha256 of the base's chat template, where it is used;
            else empty.
    """

    name: Template = "alpaca"
    why: str = "as the settings say"
    chat: str = ""


def choose_template(config: RunConfig, name: str, path: Path) -> ChosenTemplate:
    """Return the template that the settings ask for, ``auto`` decided by the base.

    Args:
        config: The settings.
        name: What the base is called, for the error.
        path: Its folder.

    Raises:
        DataError: If the chat template is asked for and the base has none.
    """
    asked, source = config.prompts.template, _source_in(name, path)
    template, why = _auto(config, source) if asked == "auto" else (asked, ChosenTemplate.why)
    uses = "chat" in (template, config.evaluate.template)
    if uses and source is None:
        setting = "evaluate.template" if template != "chat" else "prompts.template"
        raise DataError(
            f"base '{name}' has no chat template, which {setting}=chat asks for\n"
            f"  Leave {setting} out, or put a {OWN_FILE} in the base's folder."
        )
    return ChosenTemplate(template, why, hash_of_source(source) if uses and source else "")


def check_template(base: LoadedBase, chosen: ChosenTemplate) -> None:
    """Try out the chat template of a loaded base, where it is used.

    Raises:
        DataError: If it cannot be told what it does, or it is not that of the files.
    """
    if not chosen.chat:
        return
    if hash_of_source(source_of(base.tokenizer)) != chosen.chat:
        raise DataError(
            f"base '{base.name}': transformers reads another chat template than its {OWN_FILE} or "
            "tokenizer_config.json holds\n  Keep the right one of the two."
        )
    chat = chat_of(base.tokenizer)
    prompt = chat.prompt("a")
    ids = [*prompt_ids(base.tokenizer, prompt), *chat.answer_ids(prompt, "a")]
    check_known(base.tokenizer, base.model, ids, f"the chat template of base '{base.name}'")


def _auto(config: RunConfig, source: str | None) -> tuple[Template, str]:
    """Return the template that ``auto`` stands for, and why."""
    if source is None:
        return "alpaca", "the base has no chat template"
    if config.preset == "paper":
        return "alpaca", "that of preset paper, though the base has a chat template"
    return "chat", "the base has one"


def _source_in(name: str, path: Path) -> str | None:
    """Return the chat template that a folder holds, of several the default one."""
    own, settings = path / OWN_FILE, path / "tokenizer_config.json"
    try:
        if own.is_file():
            return own.read_text("utf-8") or None
        told = json.loads(settings.read_text("utf-8")) if settings.is_file() else {}
    except (OSError, ValueError) as error:
        raise DataError(f"base '{name}': cannot read its chat template: {error}") from None
    return _default(told.get("chat_template") if isinstance(told, dict) else None)


def _default(held: Any) -> str | None:
    if isinstance(held, list):
        named = {one.get("name"): one.get("template") for one in held if isinstance(one, dict)}
        held = named.get("default")
    return held if isinstance(held, str) and held else None
