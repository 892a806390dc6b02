"""Runs inside: takes the job from stdin, shuts the door behind itself, runs the program.

Started as a script, so it imports the standard library only, and little of it. Stderr is the
status pipe: what is written before ``STARTED`` is an error of the sandbox; after it comes the
token if the program ran to its last line, else why it did not.
"""
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH120

from __future__ import annotations

import marshal
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and pathlib would each add 10 ms to every run
    from typing import Any

    from selfmoe.evaluation.sandbox.order import Order

NOBODY = 65534
STARTED = b"\0started\0"

_GB, _MB = 1 << 30, 1 << 20
_NEW_USER, _NEW_NET, _NEW_PID = 0x10000000, 0x40000000, 0x20000000
_NEW_MOUNT, _NEW_IPC, _NEW_UTS = 0x00020000, 0x08000000, 0x04000000
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2
_NO_SUID, _NO_DEVICES = 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_MOUNT_SETATTR = 442
_SIGKILL = 9


def main() -> None:
    """Read the job, enter its tier, run its program."""
    with open(0, "rb", closefd=False) as stdin:
        job: Order = marshal.loads(stdin.read())
    status, null = os.dup(2), os.open("/dev/null", os.O_RDWR)
    if job["tier"] == "unsafe":
        _limit(job, private=False)
    else:
        _enter(job)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    sys.argv[:] = ["program.py"]
    os.environ.clear()
    _run(job["program"], job["token"], status)


def _run(program: str, token: bytes, status: int) -> None:
    write, leave = os.write, os._exit  # a program may replace them
    module = sys.modules["__main__"] = type(sys)("__main__")
    write(status, STARTED)
    try:
        exec(compile(program, "program.py", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        report = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")[:1000]
    else:
        report = token
    write(status, report)
    leave(0)


def _enter(job: Order) -> None:
    """Raise OSError unless every wall of the tier stands."""
    was_root, landlock, rules = os.geteuid() == 0, job["tier"] == "landlock", -1
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL)
    if job["tier"] == "namespaces":
        _new_namespaces()
        _new_root(job)
        _continue_in_child()
    elif landlock:
        rules = _landlock_rules(job["readable"], job["devices"])
        if was_root:
            _keep_standard_library()
    if os.geteuid() == 0:
        _become_nobody()
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if landlock:
        _call("syscall", _LANDLOCK_RESTRICT_SELF, rules, 0)
        os.close(rules)
    private = True  # bubblewrap and namespaces have made a user namespace, unless we were root
    if landlock or was_root:
        private = _libc().unshare(_NEW_USER) == 0
    _drop_capabilities()
    _limit(job, private=private and job["count_processes"])
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL)  # becoming nobody has cleared it
    _filter_calls(job["filter"], required=landlock)


def _new_namespaces() -> None:
    kinds = _NEW_MOUNT | _NEW_NET | _NEW_PID | _NEW_IPC | _NEW_UTS
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _libc().unshare(kinds) == 0:
        return
    _call("unshare", kinds | _NEW_USER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {uid} 1"),
        ("gid_map", f"{NOBODY} {gid} 1"),
    ):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)


def _new_root(job: Order) -> None:
    """Exchange the root for a read-only one with the readable paths and a scratch /tmp."""
    new = "/proc"  # a mount point that exists everywhere and hides nothing we bind
    _call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    _call("mount", b"tmpfs", new.encode(), b"tmpfs", _NO_SUID, b"mode=755,size=1m")
    for path in (*job["readable"], *job["devices"]):
        target = new + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.close(os.open(target, os.O_CREAT))
        _call("mount", path.encode(), target.encode(), None, _BIND | _RECURSIVE, None)
    os.mkdir(f"{new}/tmp")
    read_only = struct.pack("4Q", 1 | _NO_SUID, 0, 0, 0)
    _call("syscall", _MOUNT_SETATTR, _AT_FDCWD, new.encode(), _AT_RECURSIVE, read_only, 32)
    scratch = f"mode=1777,size={job['scratch_bytes']}".encode()
    _call("mount", b"tmpfs", f"{new}/tmp".encode(), b"tmpfs", _NO_SUID | _NO_DEVICES, scratch)
    os.chdir(new)
    pivot_root = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
    _call("syscall", pivot_root, b".", b".")  # the old root now lies over the new one
    _call("umount2", b".", _DETACH)
    os.chdir("/tmp")


def _continue_in_child() -> None:
    """Go on as the first process of the new namespace: with it dies whatever it started."""
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)
    _call("prctl", _PR_SET_PDEATHSIG, _SIGKILL)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # else our own /proc/self/fd is closed to us


def _keep_standard_library() -> None:
    """Reach the standard library by descriptor: nobody cannot enter, say, /root."""
    library = os.path.dirname(os.__file__)
    kept = f"/proc/self/fd/{os.open(library, os.O_PATH | os.O_DIRECTORY)}"
    packages = [getattr(module, "__path__", []) for module in sys.modules.values()]
    for path in (sys.path, *packages):  # of packages already imported too: encodings, ctypes
        path[:] = [kept + p[len(library) :] for p in path if p.startswith(library)]


def _landlock_rules(readable: list[str], devices: list[str]) -> int:
    read_file, read_folder, write_file = 1 << 2, 1 << 3, 1 << 1
    version = _libc().syscall(_LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version < 1:
        raise OSError("the kernel has no Landlock")
    # Every right that this version knows: 13 at first, later REFER, TRUNCATE, IOCTL_DEV.
    handled = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    # And from 6 on no signals or abstract sockets to processes outside.
    attributes = struct.pack("3Q", handled, 0, 3) if version >= 6 else struct.pack("Q", handled)
    rules = _call("syscall", _LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path in (*readable, *devices):
        rights = read_file | (read_folder if os.path.isdir(path) else 0)
        rights |= write_file if path == "/dev/null" else 0
        fd = os.open(path, os.O_PATH)
        _call("syscall", _LANDLOCK_ADD_RULE, rules, 1, struct.pack("=Qi", rights, fd), 0)
        os.close(fd)
    return rules


def _drop_capabilities() -> None:
    _call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))


def _limit(job: Order, *, private: bool) -> None:
    import resource  # not on Windows, where this module may still be imported

    limits = {
        resource.RLIMIT_AS: _GB,
        resource.RLIMIT_CPU: job["cpu_s"],
        resource.RLIMIT_FSIZE: 16 * _MB,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if private:  # elsewhere it counts the user's processes over the whole machine
        limits[resource.RLIMIT_NPROC] = 64
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def _filter_calls(instructions: bytes, *, required: bool) -> None:
    if not instructions and required:
        raise OSError(f"no seccomp filter for {os.uname().machine}")
    if instructions:
        import ctypes

        code = ctypes.create_string_buffer(instructions, len(instructions))
        program = struct.pack("HP", len(instructions) // 8, ctypes.addressof(code))
        _call("prctl", _PR_SET_SECCOMP, 2, program)


def _libc() -> Any:
    import ctypes  # some interpreters lack it; the unsafe tier can do without

    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | None) -> int:
    """Call the C library; OSError if it reports one."""
    import ctypes

    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(getattr(_libc(), name)(*wide))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments!r}: {os.strerror(number)}")
    return result


if __name__ == "__main__":
    main()
