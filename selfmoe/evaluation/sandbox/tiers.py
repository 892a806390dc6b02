"""What each tier needs: the command that starts the driver, and the job it is handed."""

import marshal
import math
import os
import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from selfmoe.evaluation.sandbox import driver
from selfmoe.evaluation.sandbox.order import Order
from selfmoe.evaluation.sandbox.syscalls import seccomp_filter

TIERS = ("bubblewrap", "namespaces", "landlock")
"""The tiers, best first."""

UNSAFE = "unsafe"
BWRAP = "bwrap"
SCRATCH_BYTES = 32 << 20
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")


def interpreter() -> str:
    """The path of the interpreter itself, outside any virtual environment."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def readable() -> list[str]:
    """The paths a program may read: this interpreter, its libraries, the system's libraries.

    Neither the whole prefix, which may be someone's home, nor ``/usr/bin``.
    """
    prefixes = {sys.base_prefix, sys.base_exec_prefix, str(Path(interpreter()).parent.parent)}
    wanted = [*SYSTEM, sysconfig.get_path("stdlib")]
    wanted += [str(Path(prefix, lib)) for prefix in sorted(prefixes) for lib in ("lib", "lib64")]
    found = sorted({path for path in wanted if Path(path).exists()}, key=len)
    return [p for p in found if not any(p.startswith(f"{q}/") for q in found)]


def environment() -> dict[str, str]:
    """What the interpreter needs to start; the driver empties it before the program runs.

    With random string hashes one program could get two verdicts.
    """
    library_path = os.environ.get("LD_LIBRARY_PATH")
    return {"PYTHONHASHSEED": "0"} | ({"LD_LIBRARY_PATH": library_path} if library_path else {})


def command(tier: str) -> list[str]:
    """The command that starts the driver of ``tier``; job on stdin, status pipe as stderr."""
    # -I would ignore the hash seed too; -S keeps site-packages out.
    python = [interpreter(), "-S", "-P", "-s", "-B", "-X", "utf8"]
    if tier != "bubblewrap":
        return [*python, driver.__file__]
    user = ["--unshare-user", "--uid", str(driver.NOBODY), "--gid", str(driver.NOBODY)]
    if _is_admin():  # then the driver itself becomes nobody; a private user namespace comes later
        user = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    walls = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    binds = [word for path in (*readable(), python[0]) for word in _bind(path)]
    binds += ["--ro-bind", driver.__file__, "/driver.py"]
    binds += [word for path in DEVICES for word in ("--dev-bind", path, path)]
    scratch = ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"]
    end = ["--remount-ro", "/", "--chdir", "/tmp", "--die-with-parent"]
    bwrap = [shutil.which(BWRAP) or BWRAP, "--cap-drop", "ALL", *user, *walls]
    return [*bwrap, *binds, *scratch, *end, *python, "/driver.py"]


def _bind(path: str) -> list[str]:
    """Show ``path`` inside, in folders that nobody may enter too (bwrap would copy 0700)."""
    folders = [word for p in reversed(Path(path).parents[:-1]) for word in ("--dir", str(p))]
    return [*folders, "--ro-bind", path, path]


def job(tier: str, program: str, token: bytes, timeout_s: float) -> bytes:
    """What the driver reads on stdin. A file, not an argument: programs may hold NUL or be long."""
    order: Any = Order(
        tier=tier,
        program=program,
        token=token,
        cpu_s=math.ceil(timeout_s) + 1,
        filter=b"" if tier == UNSAFE else seccomp_filter(host_files=tier == "landlock"),
        readable=readable(),
        devices=list(DEVICES),
        scratch_bytes=SCRATCH_BYTES,
        count_processes=_counts_by_namespace(),
    )
    return marshal.dumps(order)


def _is_admin() -> bool:
    """Whether this process may create namespaces without a user namespace (CAP_SYS_ADMIN)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)
    return os.geteuid() == 0 and bool(found and int(found[1], 16) >> 21 & 1)


def _counts_by_namespace() -> bool:
    """Whether RLIMIT_NPROC counts inside a user namespace (Linux 5.14), not over the machine."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return bool(release and (int(release[1]), int(release[2])) >= (5, 14))
