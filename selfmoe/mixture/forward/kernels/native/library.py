"""The native operator: C compiled once for this processor, kept in the cache, called by ctypes.

It is optional. Without a compiler, or with ``SELFMOE_NATIVE=0``, torch does the same.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from ctypes import c_float, c_int, c_int64, c_void_p
from pathlib import Path
from typing import NamedTuple

from selfmoe.contracts.paths import expand

SOURCES = ("add.c", "choose.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC")
PATIENCE_S = 120
_HERE = Path(__file__).parent


class Native(NamedTuple):
    """The operator, or why there is none.

    Attributes:
        library: What was loaded, with ``selfmoe_add`` and ``selfmoe_choose``; ``None``: nothing.
        found: Where it lies, or why there is none, in words.
    """

    library: ctypes.CDLL | None
    found: str


@functools.cache
def native() -> Native:
    """Return the operator, compiled now if it is not in the cache; never raises."""
    if os.environ.get("SELFMOE_NATIVE") == "0":
        return Native(None, "switched off by SELFMOE_NATIVE=0")
    compiler = _compiler()
    if compiler is None:
        return Native(None, f"no C compiler was found: none of {', '.join(COMPILERS)}")
    try:
        file = _built(compiler)
        return Native(_loaded(file), str(file))
    except (OSError, AttributeError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return Native(None, f"{compiler} could not build it: {' '.join(said.split())[:200]}")


def cache() -> Path:
    """Return where it is kept: ``$SELFMOE_CACHE/native``, else below ``~/.cache``."""
    return expand(os.environ.get("SELFMOE_CACHE") or "~/.cache/selfmoe") / "native"


def _compiler() -> str | None:
    asked = os.environ.get("CC")
    return next(filter(None, map(shutil.which, [asked] if asked else COMPILERS)), None)


def _built(compiler: str) -> Path:
    file = cache() / f"{_key(compiler)}.so"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder, file.name)
            try:
                _compile(compiler, made, "-march=native")
            except subprocess.CalledProcessError:  # not every compiler knows the processor
                _compile(compiler, made)
            made.replace(file)
    return file


def _compile(compiler: str, target: Path, *flags: str) -> None:
    sources = [str(_HERE / name) for name in SOURCES]
    command = [compiler, *FLAGS, *flags, *sources, "-o", str(target), "-lm"]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S)


def _key(compiler: str) -> str:
    """Return what the result depends on, in 16 characters: code, compiler and processor."""
    facts = [(_HERE / name).read_text("utf-8") for name in (*SOURCES, "dots.h")]
    facts += [compiler, str(Path(compiler).stat().st_mtime_ns), *FLAGS]
    facts += [platform.machine(), _processor()]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Return what the processor can do, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _loaded(file: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(file))
    library.selfmoe_add.argtypes = [c_void_p, c_int64, c_void_p, c_void_p, c_void_p]
    library.selfmoe_add.restype = c_int
    shape = [c_int64, c_int64, c_int64, c_int64]
    library.selfmoe_choose.argtypes = [c_void_p] * 3 + [*shape, c_float, c_int]
    library.selfmoe_choose.restype = None
    return library
