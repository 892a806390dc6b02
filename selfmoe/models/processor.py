"""What the processor multiplies in, and how widely, where torch makes use of it."""

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
def wide_beyond_mkl() -> bool:
    """Return whether the processor has AVX-512, and MKL does not use all of it.

    MKL asks for the processor's maker, and takes AVX2 on those of others than Intel.
    """
    if not CPUINFO.exists():
        return False
    maker, abilities = _entry("vendor_id"), _told_by_linux()
    return "avx512f" in abilities and maker != "GenuineIntel" and _used_by_torch()


def _told_by_linux() -> set[str]:
    return set((_entry("flags") or _entry("Features")).split())  # x86, ARM


def _entry(name: str) -> str:
    """Return what Linux says of its first processor under a name."""
    for line in CPUINFO.read_text("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _told_by_torch() -> set[str]:
    from torch import cpu

    if hasattr(cpu, "get_capabilities"):  # older releases of torch lack it
        return {name for name, there in cpu.get_capabilities().items() if there is True}
    return {"avx512_bf16"} if cpu._is_avx512_bf16_supported() else set()


def _used_by_torch() -> bool:
    from torch.backends import mkldnn

    return bool(mkldnn.is_available())  # type: ignore[no-untyped-call]
