"""An exported folder sent to the hub, by the user's own token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from selfmoe.contracts.errors import RunError

TOKEN, ENDPOINT = "HF_TOKEN", "HF_ENDPOINT"
"""Environment variables, as huggingface_hub names them."""

Kind = Literal["model", "dataset"]


def push_folder(folder: Path, repository: str, *, private: bool) -> str:
    """Send an exported folder to the hub.

    Args:
        folder: What ``export_system`` or ``export_data`` wrote.
        repository: ``user/name``; made if it is not there.
        private: Whether a repository that is made is private.

    Returns:
        The address of the commit.

    Raises:
        RunError: If the folder is no export, there is no token, or the hub refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    kind, token = kind_of(folder), os.environ.get(TOKEN)
    if not token:
        raise RunError(
            f"{TOKEN} is not set, and the hub takes nothing without a token\n"
            "  Make one that may write at https://huggingface.co/settings/tokens, and set it."
        )
    api = HfApi(endpoint=os.environ.get(ENDPOINT), token=token)
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            repo_type=kind,
            commit_message="Exported by selfmoe",
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise RunError(f"the hub did not take {folder} as {repository}: {reason}") from None
    return str(done.commit_url)


def kind_of(folder: Path) -> Kind:
    """Return what an exported folder is.

    Raises:
        RunError: If it is none.
    """
    if not (folder / "README.md").is_file():
        raise RunError(
            f"{folder} is no export: it has no README.md\n"
            "  selfmoe export RUN SYSTEM OUT writes one, with its card."
        )
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.gguf")]
    return "dataset" if (folder / "data").is_dir() and not weights else "model"


def licensed(folder: Path) -> bool:
    """Return whether the card of a folder names a licence."""
    from huggingface_hub import metadata_load

    return "license" in (metadata_load(folder / "README.md") or {})
