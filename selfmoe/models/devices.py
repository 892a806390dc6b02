"""Where a base runs, and in which number format."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from selfmoe.contracts.errors import DataError
from selfmoe.models.processor import bfloat16_instructions

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where Linux shows NVIDIA and AMD cards, and WSL any; without them torch need not be asked."""

PREFERRED = ("cuda", "mps", "cpu")
"""What ``auto`` takes, the first that is there."""


def choose_device(name: str) -> str:
    """Return the device to run on, in torch's words; ``auto`` takes the fastest there is.

    Raises:
        DataError: If it is not there; names what is.
    """
    if name == "cpu" or (name == "auto" and _surely_none()):
        return "cpu"
    if name == "auto":
        return preferred(present())
    reason = _unusable(name)
    if reason is not None:
        raise DataError(
            f"device '{name}' cannot be used: {reason}\n"
            f"  There is: {', '.join(present())}. Give one of them, or auto."
        )
    return name


def choose_dtype(name: str, device: str) -> str:
    """Return the number format; ``auto`` is bfloat16 where the device multiplies in it."""
    return name if name != "auto" else _auto_dtype(device)[0]


def dtype_reason(name: str, device: str) -> str:
    """Return in words why a number format is what ``choose_dtype`` says."""
    return "as the settings say" if name != "auto" else f"auto: {_auto_dtype(device)[1]}"


def _auto_dtype(device: str) -> tuple[str, str]:
    """Return the number format that suits a device, and why."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        found = bfloat16_instructions()
        slow = "float32", "this processor does not multiply in bfloat16"
        return ("bfloat16", f"this processor multiplies in it, by {found}") if found else slow
    import torch

    if kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "float32", f"{device} does not multiply in bfloat16"
    return "bfloat16", f"{device} multiplies in it"


def preferred(devices: Iterable[str]) -> str:
    """Return the kind of device that ``auto`` means where these are present."""
    kinds = _kinds(devices)
    return next(kind for kind in PREFERRED if kind in kinds)


def _kinds(devices: Iterable[str]) -> set[str]:
    return {device.partition(":")[0] for device in devices}


def present() -> list[str]:
    """Return the devices of this machine, in torch's words: ``cpu``, ``cuda:0``, ``mps``."""
    return list(_present())


def _present() -> Iterator[str]:
    import torch

    yield "cpu"
    if torch.cuda.is_available():
        yield from (f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        yield "mps"


def _surely_none() -> bool:
    return sys.platform == "linux" and not any(Path(file).exists() for file in GPU_FILES)


def _unusable(name: str) -> str | None:
    """Return why a device does not compute, or ``None`` if it does."""
    import torch

    try:
        kind = torch.device(name).type
    except RuntimeError:
        return "torch knows no device of that name"
    if kind in PREFERRED and kind not in _kinds(present()):
        return f"there is no {kind} here, or this torch is built without it"
    try:
        float(torch.ones(1, device=name).sum())
    except (RuntimeError, AssertionError, ImportError) as error:
        return str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
    return None
