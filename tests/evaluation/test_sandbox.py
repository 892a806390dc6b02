"""The sandbox against hostile programs, on every tier this machine has.

A hostile program is written so that it runs to its end only if its act succeeded: anything but
``passed`` means it was stopped. Traces outside (files, connections, processes) are looked for too.
"""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from selfmoe.evaluation import sandbox
from selfmoe.evaluation.sandbox import TIERS, driver, process, tiers

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

HOSTILE = {
    # files
    "write a host file": "open(TARGET, 'w').write('x')",
    "truncate a host file": "import os; os.truncate(SECRET, 0)",
    "remove a host file": "import os; os.unlink(SECRET)",
    "change a host file's mode": "import os; os.chmod(SECRET, 0)",
    "see a host file": "import os; os.stat(SECRET)",
    "read a secret": "open(SECRET).read()",
    "read a secret by symlink": "import os; os.symlink(SECRET, 'a'); open('a').read()",
    "read a secret by descriptor": """
import os
for fd in range(64):
    try:
        os.open("../" * 20 + SECRET, os.O_RDONLY, dir_fd=fd)
    except OSError:
        continue
    break
else:
    raise SystemExit
""",
    "write into the standard library": "import os; open(os.__file__, 'a')",
    "list a host folder": "import os; os.listdir(os.path.dirname(SECRET))",
    "600 MB file": """
with open("a", "wb") as file:
    for _ in range(600):
        file.write(bytes(1 << 20))
""",
    "files of 48 MB in all": """
for i in range(6):
    open(f"{i}", "wb").write(bytes(8 << 20))
""",
    # secrets of the process
    "read HF_TOKEN": "import os; os.environ['HF_TOKEN']",
    "read HF_TOKEN from C": """
import ctypes
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
assert getenv(b"HF_TOKEN")
""",
    "read /proc/self/environ": "assert b'hush' in open('/proc/self/environ', 'rb').read()",
    "read /proc/1/environ": "open('/proc/1/environ', 'rb').read()",
    "read its parent's memory": "import os; open(f'/proc/{PID}/mem', 'rb')",
    "use an inherited descriptor": """
import os
for fd in range(3, 256):
    try:
        if b"hush" in os.pread(fd, 100, 0):
            break
    except OSError:
        pass
else:
    raise SystemExit
""",
    # network
    "connect to loopback": "import socket; socket.create_connection(('127.0.0.1', PORT), 2)",
    "send by UDP": """
import socket
socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT))
""",
    # processes
    "run a shell": "import os; assert os.system('true') == 0",
    "run a shell by subprocess": "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])",
    "become another program": "import os, sys; os.execv(sys.executable, ['python', '-c', ''])",
    "fork 200 times": """
import os, time
for _ in range(200):
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
""",
    "leave an orphan": """
import os, time
if os.fork() == 0:
    os.setsid()
    time.sleep(20)
    os._exit(0)
""",
    "start 500 threads": """
import threading, time
threading.stack_size(1 << 16)
for _ in range(500):
    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
""",
    "signal its parent": "import os; os.kill(PID, 0)",
    "signal its parent by a pipe": """
import fcntl, os
fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, PID)
""",
    "signal its parent by a socket": """
import fcntl, socket, struct
fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack("i", PID))
""",
    "renice its parent": "import os; os.setpriority(os.PRIO_PROCESS, PID, 19)",
    "limit its parent": """
import resource
resource.prlimit(PID, resource.RLIMIT_CORE)
""",
    "trace its parent": "import ctypes; assert ctypes.CDLL(None).ptrace(16, PID, 0, 0) == 0",
    "outlive its parent": "import ctypes; assert ctypes.CDLL(None).prctl(1, 0) == 0",
    "make a namespace": "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    "lift a limit": """
import resource
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
""",
    "3 GB of memory": "bytearray(3 << 30)",
    # faked verdicts
    "sys.exit(0)": "import sys; sys.exit(0)",
    "os._exit(0)": "import os; os._exit(0)",
    "exit in a thread": """
import os, threading
threading.Thread(target=os._exit, args=(0,)).start()
threading.Event().wait()
""",
    "write 'passed' everywhere": """
import os
for fd in range(64):
    try:
        os.write(fd, b"passed")
    except OSError:
        pass
os._exit(0)
""",
    "close everything": "import os; os.closerange(0, 64)",
    # not even programs
    "NUL": "x = 1\0",
    "lone surrogate": "x = '\ud800'",
    "syntax error": "x = ",
}

# Without a sandbox these acts succeed, so their failure above is the sandbox's doing.
REAL = [
    "write a host file",
    "truncate a host file",
    "remove a host file",
    "change a host file's mode",
    "see a host file",
    "read a secret",
    "read a secret by symlink",
    "list a host folder",
    "files of 48 MB in all",
    "connect to loopback",
    "send by UDP",
    "run a shell",
    "run a shell by subprocess",
    "fork 200 times",
    "start 500 threads",
    "signal its parent",
    "signal its parent by a pipe",
    "signal its parent by a socket",
    "limit its parent",
    "outlive its parent",
]

# With the filter of system calls lifted, what the namespaces stop by themselves.
WALLS = [
    *(name for name in HOSTILE if "host" in name or "secret" in name or "environ" in name),
    "files of 48 MB in all",
    "connect to loopback",
    "fork 200 times",
    "start 500 threads",
    "signal its parent",
    "trace its parent",
]

# What a tier does not stop. SECURITY.md says so as well.
EXCEPTIONS = {
    ("landlock", "see a host file"): "names, sizes and dates of files stay visible",
    ("landlock", "start 500 threads"): "only memory bounds threads where namespaces are forbidden",
}

ENDLESS = {
    "loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
    "all signals swallowed": """
import signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda *_: None)
while True:
    try:
        signal.pause()
    except BaseException:
        pass
""",
    "all exceptions swallowed": """
while True:
    try:
        while True: pass
    except BaseException:
        pass
""",
}

HARMLESS = {
    "empty": "",
    "400 MB to stdout": """
import sys
for _ in range(400):
    sys.stdout.write("x" * (1 << 20)); sys.__stderr__.write("x")
""",
    "300 KB of source": "x = 1\n" * 51_200,
    "Windows line ends": "def f():\r\n\treturn 1\r\nassert f() == 1\r\n",
    "32 threads": """
from concurrent.futures import ThreadPoolExecutor
assert list(ThreadPoolExecutor(32).map(abs, range(100))) == list(range(100))
""",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "main guard, dataclass, pickle": """
from __future__ import annotations
import dataclasses, pickle
@dataclasses.dataclass
class Point:
    x: int
def main():
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
    done.append(1)
done = []
if __name__ == "__main__":
    main()
assert done
""",
    "same interpreter, nobody, empty environment": """
import os, sys
assert sys.version == VERSION
assert os.getuid() == UID
assert not os.environ
assert not [p for p in sys.path if "site-packages" in p]
""",
    "standard library": """
import bisect, collections, csv, ctypes, decimal, hashlib, heapq, itertools, math, random, sqlite3
import statistics, string, unittest
import ctypes.util, email.mime.text, encodings.idna, importlib.metadata, zoneinfo
hashlib.sha256(b"x"), random.random(), decimal.Decimal("0.1"), os.urandom(3), "x".encode("cp1252")
""".replace("import bisect", "import os, bisect"),
}

# No sandbox helps here: the program is its own judge. SECURITY.md says so as well.
UNDETECTED = {
    "equal to everything": """
class Any:
    __eq__ = lambda self, other: True
assert Any() == 42
""",
    "token taken from the driver": """
import os, sys
driver = sys._getframe(1).f_locals
os.write(driver["status"], driver["token"])
os._exit(0)
""",
}


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> str:
    if reason := sandbox.available_tiers()[request.param]:
        pytest.skip(f"no tier {request.param} here: {reason}")
    return str(request.param)


def skip_if_declared(tier: str, name: str, counted: list[str]) -> None:
    if reason := EXCEPTIONS.get((tier, name)):
        pytest.skip(f"declared: {reason}")
    if name in counted and not (
        tiers._counts_by_namespace() and (os.geteuid() or tiers._is_admin())
    ):
        pytest.skip("declared: the kernel does not count processes by namespace, or not root's")


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hush")
    path = tmp_path / "secret"
    path.write_text("hush")
    for each in (path, tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o777)  # the walls must hold, not the modes
    fd = os.open(path, os.O_RDONLY)
    os.set_inheritable(fd, True)
    yield path
    os.close(fd)


@pytest.fixture
def listeners():
    """A TCP and a UDP socket on one port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(tcp.getsockname())
        for listener in (tcp, udp):
            listener.setblocking(False)
        yield tcp, udp


@pytest.fixture
def aimed(secret, listeners):
    """Tells a hostile program what it may attack."""
    facts = {"SECRET": str(secret), "TARGET": str(secret.with_name("target"))}
    facts |= {"PID": os.getpid(), "PORT": listeners[0].getsockname()[1]}
    return lambda name: "".join(f"{k} = {v!r}; " for k, v in facts.items()) + "\n" + HOSTILE[name]


@pytest.fixture
def unharmed(secret, listeners):
    """Looks, after the test, for traces of an act that succeeded."""
    yield
    tcp, udp = listeners
    with pytest.raises(BlockingIOError):
        tcp.accept()
    with pytest.raises(BlockingIOError):
        udp.recv(1)
    assert sorted(p.name for p in secret.parent.iterdir()) == ["secret"]
    assert secret.read_text() == "hush"
    assert secret.stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("unharmed")
def test_hostile_programs_are_stopped(tier, name, aimed):
    skip_if_declared(tier, name, ["start 500 threads"])
    verdict = sandbox.run_sandboxed(aimed(name), tier=tier)
    assert (verdict.status, verdict.tier) == ("failed", tier)
    assert verdict.detail
    assert verdict.detail.isprintable()


@pytest.mark.parametrize("name", WALLS)
@pytest.mark.parametrize("tier", TIERS[:2], indirect=True)
@pytest.mark.usefixtures("unharmed")
def test_walls_hold_without_the_filter(tier, name, aimed, monkeypatch):
    skip_if_declared(tier, name, ["start 500 threads", "fork 200 times"])
    monkeypatch.setattr(tiers, "seccomp_filter", lambda **_: b"")
    assert sandbox.run_sandboxed(aimed(name), tier=tier).status == "failed"


@pytest.mark.parametrize("name", REAL)
def test_hostile_acts_are_real(name, aimed):
    assert process.execute("unsafe", aimed(name), 5.0).status == "passed"


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_programs_pass(tier, name, capfd):
    nobody = tier != "landlock" or os.geteuid() == 0
    facts = f"VERSION = {sys.version!r}; UID = {65534 if nobody else os.geteuid()}\n"
    needs_facts = "VERSION" in HARMLESS[name]
    verdict = sandbox.run_sandboxed((facts if needs_facts else "") + HARMLESS[name], tier=tier)
    assert verdict == sandbox.Verdict("passed", tier, "")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", UNDETECTED)
def test_what_no_tier_can_see(tier, name):
    assert sandbox.run_sandboxed(UNDETECTED[name], tier=tier).status == "passed"


@pytest.mark.parametrize("name", ENDLESS)
def test_timeouts_are_honoured(tier, name):
    begin = time.monotonic()
    verdict = sandbox.run_sandboxed(ENDLESS[name], 0.5, tier=tier)
    took = time.monotonic() - begin
    assert verdict == sandbox.Verdict("timeout", tier, "no end within 0.5 s")
    assert 0.5 <= took <= 1.0


def test_a_short_timeout_is_not_eaten_by_the_start(tier):
    verdicts = [sandbox.run_sandboxed("x = 1", 0.05, tier=tier).status for _ in range(5)]
    assert "passed" in verdicts


def test_a_failure_says_why(tier):
    verdict = sandbox.run_sandboxed("raise ValueError('one\\n\\x1b[31mtwo')", tier=tier)
    assert verdict == sandbox.Verdict("failed", tier, "?[31mtwo")
    assert sandbox.run_sandboxed("assert 1 == 2, 'sum'", tier=tier).detail == "AssertionError: sum"
    assert (
        sandbox.run_sandboxed("import os; os._exit(0)", tier=tier).detail
        == "ended before its last line"
    )


def test_one_program_has_one_verdict(tier):
    """String hashes are fixed, so the order of a set does not decide a score."""
    order = sandbox.run_sandboxed("raise ValueError(list(set('abcdefgh')))", tier=tier).detail
    for _ in range(3):
        assert (
            sandbox.run_sandboxed("raise ValueError(list(set('abcdefgh')))", tier=tier).detail
            == order
        )


@pytest.fixture
def marked(tmp_path, monkeypatch):
    """A driver whose path tells our processes from those of others; gives the path."""
    path = shutil.copy(driver.__file__, tmp_path / "driver.py")
    monkeypatch.setattr(driver, "__file__", str(path))
    return str(path)


def alive(mark: str) -> list[str]:
    """The processes with ``mark`` in their command line, and our zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        zombie = state == "Z" and int(parent) == os.getpid()
        if mark.encode() in command or zombie:
            found.append(folder.name)
    return found


def wait_until(true, timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_nothing_is_left_behind(tier, marked, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    programs = ["x = 1", HOSTILE["leave an orphan"], ENDLESS["sleep"], "import os; os._exit(1)"]
    statuses = [v.status for v in sandbox.run_many(programs * 5, 0.3, workers=4, tier=tier)]
    assert statuses == ["passed", "failed", "timeout", "failed"] * 5
    assert [path.name for path in tmp_path.iterdir()] == ["driver.py"]
    assert alive(marked) == []


@pytest.mark.parametrize("tier", TIERS[:2], indirect=True)
def test_without_the_filter_an_orphan_dies_too(tier, marked, monkeypatch):
    monkeypatch.setattr(tiers, "seccomp_filter", lambda **_: b"")
    assert sandbox.run_sandboxed(HOSTILE["leave an orphan"], tier=tier).status == "passed"
    assert alive(marked) == []


def test_a_killed_parent_takes_its_programs_along(tier, marked):
    code = (
        "from selfmoe.evaluation.sandbox import driver, process\n"
        f"driver.__file__ = {marked!r}\n"
        f"process.execute({tier!r}, 'import time; time.sleep(60)', 60.0)"
    )
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    try:
        assert wait_until(lambda: len(alive(marked)) > 1)  # its own command line is one
        time.sleep(0.5)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not alive(marked))


# --- the sandbox's own failures say nothing about the program -----------------------------


@pytest.fixture
def fake_bwrap(tmp_path, monkeypatch):
    def install(script: str) -> Path:
        path = tmp_path / "bwrap"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(tiers, "BWRAP", str(path))
        return tmp_path

    return install


@pytest.fixture
def attempts(monkeypatch):
    made = []
    attempt = process._attempt
    monkeypatch.setattr(process, "_attempt", lambda *a: made.append(a) or attempt(*a))
    return made


def test_a_missing_bwrap_is_an_infra_error(monkeypatch, attempts):
    monkeypatch.setattr(tiers, "BWRAP", "/no/such/bwrap")
    verdict = process.execute("bubblewrap", "x = 1", 1.0)
    assert verdict.status == "infra_error"
    assert "/no/such/bwrap" in verdict.detail
    assert len(attempts) == 1 + process.RETRIES


def test_a_bwrap_that_cannot_fork_is_an_infra_error(fake_bwrap, attempts):
    fake_bwrap('echo "bwrap: Can\'t fork for pid 1" >&2; exit 1')
    verdict = process.execute("bubblewrap", "assert False", 1.0)
    assert verdict == process.Verdict("infra_error", "bubblewrap", "bwrap: Can't fork for pid 1")
    assert len(attempts) == 1 + process.RETRIES


def test_a_passing_failure_is_tried_again(fake_bwrap, attempts):
    if sandbox.available_tiers()["bubblewrap"]:
        pytest.skip("no tier bubblewrap here")
    here = fake_bwrap(
        f'cd "$(dirname "$0")"; mkdir a || mkdir b || exec {tiers.BWRAP} "$@"; exit 1'
    )
    assert process.execute("bubblewrap", "x = 1", 1.0).status == "passed"
    assert len(attempts) == 3
    assert (here / "b").exists()


def test_a_start_that_hangs_is_an_infra_error(fake_bwrap, monkeypatch):
    monkeypatch.setattr(process, "START_S", 0.2)
    monkeypatch.setattr(process, "RETRIES", 1)
    fake_bwrap("exec sleep 60")
    assert process.execute("bubblewrap", "x = 1", 1.0).status == "infra_error"


def test_a_full_disk_is_an_infra_error(monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    verdict = process.execute("landlock", "x = 1", 1.0)
    assert verdict.status == "infra_error"
    assert "No space left" in verdict.detail


def test_without_a_tier_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "best_tier", lambda: None)
    monkeypatch.setattr(sandbox, "why_not", lambda tier: "forbidden here")
    program = f"open({str(tmp_path / 'trace')!r}, 'w')"
    verdict = sandbox.run_sandboxed(program)
    assert (verdict.status, verdict.tier) == ("infra_error", "none")
    assert "no sandbox" in verdict.detail
    verdict = sandbox.run_sandboxed(program, tier="landlock")
    assert verdict == sandbox.Verdict("infra_error", "landlock", "no sandbox: forbidden here")
    assert list(tmp_path.iterdir()) == []


def test_unsafe_runs_where_no_tier_holds(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "best_tier", lambda: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert sandbox.run_sandboxed("x = 1", unsafe=True) == sandbox.Verdict("passed", "unsafe", "")
    programs = ["open('a', 'w')", "import sys; sys.exit(0)", "bytearray(3 << 30)", "while 1: pass"]
    statuses = [v.status for v in sandbox.run_many(programs, 0.5, unsafe=True)]
    assert statuses == ["passed", "failed", "failed", "timeout"]
    assert list(tmp_path.iterdir()) == []


def test_unsafe_prefers_a_tier():
    if sandbox.best_tier() is None:
        pytest.skip("no tier here")
    assert sandbox.run_sandboxed("x = 1", unsafe=True).tier == sandbox.best_tier()


def test_a_tier_that_stops_nothing_does_not_hold(monkeypatch):
    """The second canary: a driver without its walls is found out."""
    honest = tiers.job
    monkeypatch.setattr(tiers, "job", lambda _tier, *rest: honest("unsafe", *rest))
    reason = sandbox.probe._probe.__wrapped__("landlock")
    assert reason is not None
    assert "not stopped" in reason


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_is_a_positive_number(timeout_s):
    with pytest.raises(ValueError, match="positive number of seconds"):
        sandbox.run_sandboxed("x = 1", timeout_s)


@pytest.mark.parametrize("tier", ["docker", "unsafe"])
def test_an_unknown_tier_is_named(tier):
    with pytest.raises(ValueError, match=f"no sandbox tier '{tier}'; known: bubblewrap"):
        sandbox.run_sandboxed("x = 1", tier=tier)


# --- real programs ------------------------------------------------------------------------


def rows(path: str) -> list[dict]:
    if not (DATA / path).exists():
        pytest.skip(f"no {DATA / path}")
    return [json.loads(line) for line in (DATA / path).read_text().splitlines()]


def passed(programs: list[str], tier: str | None) -> list[bool]:
    return [verdict.status == "passed" for verdict in sandbox.run_many(programs, 10.0, tier=tier)]


@pytest.mark.parametrize(("body", "expected"), [("canonical_solution", 82), (None, 0)])
def test_humaneval(tier, body, expected):
    programs = [
        f"{row['prompt']}{row[body] if body else '    pass'}\n{row['test']}\n"
        f"check({row['entry_point']})"
        for row in rows("humaneval/HumanEval.jsonl")
    ]
    assert len(programs) == 82
    assert sum(passed(programs, tier)) == expected


def test_mbpp():
    """One item needs its set-up after the code; many harnesses leave it out and count 373."""
    if sandbox.best_tier() is None:
        pytest.skip(f"no tier here: {sandbox.available_tiers()}")
    train = [row for row in rows("mbpp/mbpp.jsonl") if 601 <= row["task_id"] <= 974]
    assert len(train) == 374
    code = [row["code"].replace("\r\n", "\n") for row in train]
    setup = [row["test_setup_code"] for row in train]
    tests = ["\n".join(row["test_list"]) for row in train]
    programs = ["\n".join(parts) for parts in zip(code, setup, tests, strict=True)]
    assert all(passed(programs, None))
    without = ["\n".join([c, t]) for c, s, t in zip(code, setup, tests, strict=True) if s]
    assert passed(without, None) == [False]
