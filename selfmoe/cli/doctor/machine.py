"""Checks of this machine: Python, devices, memory, disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from selfmoe.cli.findings import Finding
from selfmoe.contracts.errors import counted
from selfmoe.models.base import GPU_FILES
from selfmoe.store.status import bytes_text

GB = 10**9

ROOM = (GB // 10, 5 * GB)
"""Free disk below which nothing works, and below which it may not be enough, in bytes."""


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.maxsize < 2**32:
        yield Finding("python", f"{found}, 32 bits", "problem", "Install a 64-bit Python.")
    else:
        yield Finding("python", found)


def devices() -> Iterator[Finding]:
    """Look at torch, the accelerators it can use, and its threads."""
    try:
        import torch
    except Exception as error:  # a broken installation raises several types
        reason = " ".join(str(error).split())
        yield Finding("torch", f"cannot be imported: {reason}", "problem", "Install torch again.")
        return
    build = torch.version.cuda and f"CUDA {torch.version.cuda}"
    build = build or (torch.version.hip and f"ROCm {torch.version.hip}") or "no CUDA"
    yield Finding("torch", f"{torch.__version__}, {build}")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        memory = f"{bytes_text(free)} free of {bytes_text(total)}"
        yield Finding("device", f"cuda:{index} {name}, {memory}")
    if torch.backends.mps.is_available():
        yield Finding("device", "mps, memory shared with the processor")
    if not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        yield _no_accelerator()
    yield _threads(torch.get_num_threads())


def operator() -> Iterator[Finding]:
    """Look whether the native operator can be built, and build it."""
    from selfmoe.mixture.forward.kernels.native.library import native

    found = native()
    if found.library is not None:
        yield Finding("native operator", found.found)
    else:
        advice = "Install a C compiler; without it torch does the same, more slowly."
        yield Finding("native operator", found.found, "note", advice)


def _no_accelerator() -> Finding:
    if any(Path(file).exists() for file in GPU_FILES):
        advice = "Install the build of torch for this card and driver: https://pytorch.org"
        return Finding("device", "cpu; there is a card, but torch cannot use it", "note", advice)
    advice = "Enough for the shipped base; larger ones need a GPU."
    return Finding("device", "cpu only", "note", advice)


def _threads(threads: int) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{counted(threads, 'thread')} for {counted(cores or 1, 'core')}"
    if cores and threads < cores and "OMP_NUM_THREADS" in os.environ:
        return Finding("threads", found, "note", "Unset OMP_NUM_THREADS to use all cores.")
    return Finding("threads", found)


def memory() -> Iterator[Finding]:
    """Look at the memory of the machine, or of the container it is."""
    import psutil

    there = psutil.virtual_memory()
    total, free = there.total, there.available
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit() and int(text) < total:
        total = int(text)
        free = min(free, total - int(limit.with_name("memory.current").read_text()))
    found = f"{bytes_text(free)} free of {bytes_text(total)}"
    if free >= 4 * GB:
        yield Finding("memory", found)
    else:
        advice = "Close other programs, or lower batch_size of brainstorm, respond and evaluate."
        yield Finding("memory", found, "note", advice)


def disk() -> Iterator[Finding]:
    """Look at the room in the current folder and for downloads."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for check, path in (("disk here", Path.cwd()), ("disk of hub cache", Path(HF_HUB_CACHE))):
        place = next(folder for folder in (path, *path.parents) if folder.exists())
        free = shutil.disk_usage(place).free
        found = f"{bytes_text(free)} free at {place}"
        if check == "disk here" and free < ROOM[0]:
            yield Finding(check, found, "problem", "Make room, or run where there is some.")
        elif free < ROOM[1]:
            yield Finding(check, found, "note", "Make room: checkpoints and models are large.")
        elif not os.access(place, os.W_OK):
            advice = "Pass --out a folder that can be written to, or set HF_HOME to one."
            yield Finding(check, f"{place} cannot be written to", "note", advice)
        else:
            yield Finding(check, found)
