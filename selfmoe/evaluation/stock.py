"""Files of lm-eval's own tasks, read at run time for the texts that its protocols prescribe."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import DataError


def stock_file(name: str) -> Path:
    """Return the path of a file in lm-eval's folder of tasks, such as ``gsm8k/gsm8k-cot.yaml``.

    Raises:
        DataError: If lm-eval is not installed or does not have it.
    """
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise DataError(
            f"lm-eval, which has '{name}', is not installed\n  Try: pip install lm-eval"
        )
    path = Path(spec.origin).parent / "tasks" / name
    if not path.is_file():
        raise DataError(
            f"this version of lm-eval has no {path}\n"
            "  Install the version that constraints.txt of selfmoe names."
        )
    return path


def stock_settings(name: str) -> dict[str, Any]:
    """Return the settings of an lm-eval task that includes no other and calls no function.

    Raises:
        DataError: If it cannot be read.
    """
    import yaml

    path = stock_file(name)
    try:
        settings = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if not isinstance(settings, dict):
        raise DataError(f"{path} is no lm-eval task")
    return settings
