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
        return _with_weights(name, model, revision, Path(folder))
    raise DataError(
        f"base '{name}' is no folder here and could not be had from the hub: {reason}\n"
        f"  {advice}\n  {choices}"
    )


def download_gguf(model: str, file: str, plugins: Iterable[str]) -> Path:
    """Return a GGUF file of a hub model; what the cache holds already is not fetched again.

    Args:
        model: ``<owner>/<model>``, or ``<owner>/<model>@<revision>``.
        file: The file's name there.
        plugins: Names of the base plugins, for the error.

    Raises:
        DataError: If it is no hub id, or cannot be had; says what to do.
    """
    known = list(plugins)
    name = f"{model}:{file}"
    choices = (
        "Give a file or folder, <folder>:<file.gguf>, <owner>/<model>:<file.gguf>, or one of: "
        f"{', '.join(known)}."
    )
    if not _ID.fullmatch(model) or model.startswith((".", "~")):
        raise DataError(f"base '{name}' does not exist{did_you_mean(name, known)}\n  {choices}")
    identity, _, revision = model.partition("@")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(identity, file, revision=revision or None))
    except Exception as error:  # a connection that breaks raises types of several libraries
        reason, advice = _explain_file(error, identity, revision, file)
    raise DataError(
        f"base '{name}' is no file here and could not be had from the hub: {reason}\n"
        f"  {advice}\n  {choices}"
    )


def _explain_file(error: Exception, model: str, revision: str, file: str) -> tuple[str, str]:
    """Return what went wrong with one file and what to do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) or not isinstance(
        error, errors.EntryNotFoundError
    ):
        reason, advice = _explain(error, model, revision)
        return reason, advice.replace(_command(model, revision), _command(model, revision, file))
    names = _gguf_files(model, revision)
    there = f"In GGUF it has: {', '.join(names)}." if names else "It has no file in GGUF."
    return f"'{model}' has no file '{file}'{did_you_mean(file, names)}", there


def _gguf_files(model: str, revision: str) -> list[str]:
    """Return the GGUF files of a hub model; none if the hub does not say."""
    from huggingface_hub import HfApi

    try:
        files = HfApi().list_repo_files(model, revision=revision or None)
    except Exception:  # an error was met already; this only adds to its advice
        return []
    return sorted(file for file in files if file.endswith(".gguf"))


def _with_weights(name: str, model: str, revision: str, folder: Path) -> Path:
    """Return the folder, if there were weights to fetch.

    Raises:
        DataError: If there were none.
    """
    if any(folder.glob("model*.safetensors")):
        return folder
    if files := _gguf_files(model, revision):
        raise DataError(
            f"base '{name}' has no model*.safetensors on the hub, but GGUF\n"
            f"  Name one of its files, as in '{name}:{files[0]}': {', '.join(files)}."
        )
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


def _command(model: str, revision: str, file: str = "") -> str:
    words = ["hf download", model, file, revision and f"--revision {revision}"]
    return " ".join(filter(None, words))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
