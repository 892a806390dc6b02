"""Base models from the Hugging Face hub, as folders of its cache."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from selfmoe.contracts.errors import DataError, did_you_mean
from selfmoe.models.checkpoints import TOKENIZERS

FILES = ("*.json", "*.txt", "model*.safetensors", *TOKENIZERS)
"""What is fetched: configuration, tokenizer, and the weights that transformers reads."""

_ID = re.compile(r"[^/@]+/[^/@]+(@.+)?")


def download(name: str, plugins: Iterable[str]) -> Path:
    """Return the folder of a hub model; what its cache holds already is not fetched again.

    Args:
        name: ``<owner>/<model>``, or ``<owner>/<model>@<revision>``: a branch, tag or commit.
        plugins: Names of the base plugins, for the error.

    Raises:
        DataError: If it is no hub id, or cannot be had; says what to do.
    """
    known = list(plugins)
    choices = f"Give a folder, a hub id <owner>/<model>, or one of: {', '.join(known)}."
    if not _ID.fullmatch(name) or name.startswith((".", "~")):
        raise DataError(f"base '{name}' does not exist{did_you_mean(name, known)}\n  {choices}")
    model, _, revision = name.partition("@")
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(model, revision=revision or None, allow_patterns=[*FILES])
    except Exception as error:  # a connection that breaks raises types of several libraries
        reason, advice = _explain(error, model, revision)
    else:
        return _with_weights(name, Path(folder))
    raise DataError(
        f"base '{name}' is no folder here and could not be had from the hub: {reason}\n"
        f"  {advice}\n  {choices}"
    )


def _with_weights(name: str, folder: Path) -> Path:
    """Return the folder, if there were weights to fetch.

    Raises:
        DataError: If there were none.
    """
    if any(folder.glob("model*.safetensors")):
        return folder
    raise DataError(
        f"base '{name}' has no model*.safetensors on the hub, or the cache {folder} does not hold "
        "them; pickled weights are not fetched, they can run code when they are read\n"
        "  Give another copy or revision that has safetensors, or, if you trust it, load it with "
        "transformers, save it with save_pretrained, and give that folder."
    )


def _explain(error: Exception, model: str, revision: str) -> tuple[str, str]:
    """Return what went wrong and what to do about it."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{model}"
    login = "log in with `hf auth login` or set HF_TOKEN"
    match error:
        case errors.GatedRepoError():
            return "it is gated", f"Accept its terms at {page}, then {login}."
        case errors.RepositoryNotFoundError():
            why = f"there is no model '{model}', or it is private"
            return why, f"Check the name; for a private model {login}."
        case errors.RevisionNotFoundError():
            why = f"'{model}' has no revision '{revision}'"
            return why, f"Give a branch, tag or commit of {page}, or leave @{revision} out."
        case errors.HFValidationError():
            return "that is no hub id", "A hub id has letters, digits, '-', '_' and '.'."
        case errors.LocalEntryNotFoundError():
            return _offline(error, model, revision)
    return _first_line(error), f"Try again, or fetch it by hand: {_command(model, revision)}"


def _offline(error: Exception, model: str, revision: str) -> tuple[str, str]:
    from huggingface_hub import constants

    why = "the hub cannot be reached" + (
        ", HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f" ({_first_line(error)})"
    )
    return (
        f"{why}, and the cache {constants.HF_HUB_CACHE} does not hold all of it",
        f"Go online, or fetch it where there is a network: {_command(model, revision)}",
    )


def _command(model: str, revision: str) -> str:
    return f"hf download {model}" + (f" --revision {revision}" if revision else "")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
