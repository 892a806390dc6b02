import threading
import time

import pytest

from selfmoe.evaluation import mathverify
from selfmoe.evaluation.mathverify import Worker, same

needs_it = pytest.mark.skipif(mathverify.installed() is None, reason="math-verify not installed")


@pytest.fixture
def worker():
    made = Worker()
    yield made
    made.end()


@needs_it
@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("x+1", "1+x", True),
        (r"\sqrt{8}", r"2\sqrt2", True),
        ("(x+1)^2", "x^2+2x+1", True),
        ("(3,4)", "(4,3)", False),
        ("5", "6", False),
        (r"\frac{", "x", False),
        ("5", "2 + 3)__import__('os').abort(", False),
        ("1", "\x00", False),
        ("", "", False),
        ("1", "1" * 2000, False),
    ],
)
def test_equivalence(one, other, equal):
    assert same(one, other) is equal


@needs_it
def test_it_may_be_asked_from_many_threads():
    found = {}
    threads = [
        threading.Thread(
            target=lambda n=n: found.update({n: same("2x", f"x+{'x' if n % 2 else 'y'}")})
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: bool(n % 2) for n in range(6)}


@needs_it
def test_what_takes_too_long_is_not_equivalent_and_does_not_stop_the_next(worker):
    assert worker.ask("1+1", "2", 60.0)
    start = time.monotonic()
    assert not worker.ask("1", "9^{9^{9^{9^{9}}}}", 0.2)
    assert time.monotonic() - start < 5
    assert worker.ask("1+1", "2", 60.0)


@needs_it
def test_a_dead_process_is_replaced(worker):
    assert worker.ask("1+1", "2", 60.0)
    worker._process.kill()
    worker._process.wait()
    assert worker.ask("1+1", "2", 60.0)


def test_it_need_not_be_installed(monkeypatch):
    def absent(name):
        raise mathverify.PackageNotFoundError(name)

    monkeypatch.setattr(mathverify, "version", absent)
    assert mathverify.installed() is None
