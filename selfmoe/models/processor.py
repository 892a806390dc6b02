"""What the processor multiplies in, and which library of torch's uses it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux says what the processor can do; then torch, slow to import, need not be asked."""

MULTIPLYING = ("amx_bf16", "avx512_bf16", "bf16")
"""What has products of bfloat16 (on x86 the first two, on ARM the last), as Linux and torch say."""


@cache
def bfloat16_instructions() -> str | None:
    """Return the name of the instructions that multiply in bfloat16.

    Returns:
        One of ``MULTIPLYING``, the fastest there is; ``None`` if the processor has none, or torch
        is built without the library that uses them, and so would imitate them in float32.
    """
    abilities = _told_by_linux() if CPUINFO.exists() else _told_by_torch()
    found = next((name for name in MULTIPLYING if name in abilities), None)
    return found if found and _used_by_torch() else None


@cache
def left_to_onednn() -> bool:
    """Return whether torch's other library, oneDNN, is the faster one for products of float32.

    It is on processors with AVX-512 that are not Intel's: MKL, which torch asks, leaves that unused
    there. Only Linux tells.
    """
    if not CPUINFO.exists():
        return False
    others = _line("vendor_id") not in ("", "GenuineIntel")
    return others and "avx512f" in _told_by_linux() and _used_by_torch()


def _told_by_linux() -> set[str]:
    return set((_line("flags") or _line("Features")).split())  # x86, ARM


def _line(name: str) -> str:
    """Return what Linux says of the first core under a name; nothing where it says nothing."""
    for line in CPUINFO.read_text("utf-8", "replace").splitlines():
        key, _, words = line.partition(":")
        if key.strip() == name:
            return words.strip()
    return ""


def _told_by_torch() -> set[str]:
    from torch import cpu

    if hasattr(cpu, "get_capabilities"):  # older releases of torch lack it
        return {name for name, there in cpu.get_capabilities().items() if there is True}
    return {"avx512_bf16"} if cpu._is_avx512_bf16_supported() else set()


def _used_by_torch() -> bool:
    from torch.backends import mkldnn

    return bool(mkldnn.is_available())  # type: ignore[no-untyped-call]
