"""``selfmoe doctor``: says what is there, never fails by itself, never hangs."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from selfmoe import doctor
from selfmoe.doctor import machine, surroundings
from selfmoe.doctor.finding import Finding
from selfmoe.registry import registry


def test_this_machine_can_run_selfmoe(cli):
    result = cli("doctor", "--json")
    rows = json.loads(result.stdout)
    assert result.exit_code == 0, rows
    checks = {row["check"] for row in rows}
    assert checks >= {"python", "libraries", "torch", "threads", "memory", "disk here", "sandbox"}
    assert checks >= {"device", "hub", "hub cache", "hub token", "plugins", "disk of hub cache"}
    for row in rows:
        assert row["state"] in ("ok", "note")
        assert row["found"]
        assert row["advice"] or row["state"] == "ok"
    assert "problem" not in cli("doctor").stdout


def test_a_problem_ends_with_1(cli, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", (lambda: iter([Finding("x", "bad", "problem", "Do.")]),))
    result = cli("doctor")
    assert result.exit_code == 1
    assert "bad" in result.stdout
    assert "Do." in result.stdout


def test_a_check_that_breaks_is_a_note(monkeypatch):
    def drivers():
        raise OSError("driver\nmismatch")

    monkeypatch.setattr(doctor, "CHECKS", (drivers,))
    (finding,) = doctor.examine()
    assert finding == Finding("drivers", "could not be checked: OSError: driver mismatch", "note")


def test_a_library_that_is_too_old_or_missing_is_a_problem(monkeypatch):
    needs = ["torch>=999", "no-such-library>=1", "click>=8", "absent>=1; extra == 'dev'"]
    monkeypatch.setattr("importlib_metadata.requires", lambda name: needs)
    old, missing, rest = machine.libraries()
    assert old.found.startswith("torch 2.")
    assert old.advice == "pip install 'torch>=999'"
    assert (missing.state, missing.found) == (
        "problem",
        "no-such-library is not installed; needed: >=1",
    )
    assert rest.found.endswith("1 libraries as it needs them")


def test_little_room_is_said(monkeypatch):
    for free, states in ((5 * 10**7, ["problem", "note"]), (10**9, ["note", "note"])):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda place, usage=usage: usage)
        assert [finding.state for finding in machine.disk()] == states


def test_little_memory_is_said(monkeypatch):
    memory = SimpleNamespace(total=8 * 10**9, available=10**9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    (finding,) = machine.memory()
    assert (finding.found.partition(" free")[0], finding.state) == ("1.0 GB", "note")


def test_threads_that_are_held_back_are_said(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert machine._threads(1).advice == "Unset OMP_NUM_THREADS to use all cores."


@pytest.mark.parametrize(
    ("tiers", "state", "start"),
    [
        ({"bubblewrap": None, "namespaces": None, "landlock": None}, "ok", "bubblewrap: the"),
        ({"bubblewrap": "x", "namespaces": None, "landlock": None}, "ok", "namespaces: the"),
        ({"bubblewrap": "x", "namespaces": "y", "landlock": None}, "note", "landlock: the"),
        ({"bubblewrap": "x", "namespaces": "y", "landlock": "z"}, "note", "none: bubblewrap: x"),
    ],
)
def test_the_sandbox_and_how_to_get_a_better_one(monkeypatch, tiers, state, start):
    monkeypatch.setattr("selfmoe.sandbox.available_tiers", lambda: tiers)
    (finding,) = surroundings.sandbox()
    assert (finding.state, finding.found.startswith(start)) == (state, True)
    assert ("bubblewrap" in finding.advice) is (tiers["bubblewrap"] is not None)


def test_offline_the_hub_is_not_asked(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(surroundings, "reaches", lambda url: pytest.fail("asked"))
    assert next(surroundings.hub()).found == "not asked: HF_HUB_OFFLINE is set"


def test_a_hub_that_does_not_answer_is_waited_for_in_vain_but_not_for_long(monkeypatch):
    for name in surroundings.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(surroundings, "PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        finding = next(surroundings.hub())
    assert (finding.found, finding.state) == (f"{url} does not answer", "note")


def test_looking_up_a_name_may_hang():
    asleep = threading.Event()
    start = time.monotonic()
    assert surroundings.within(0.1, lambda: asleep.wait(30)) is False
    assert time.monotonic() - start < 10
    asleep.set()
    assert surroundings.within(10, lambda: True) is True


def test_a_token_is_never_shown(monkeypatch, cli):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result = cli("doctor", "--json")
    assert "there is one" in result.stdout
    assert "hf_secret" not in result.output


def test_broken_and_missing_plugins_are_said(monkeypatch):
    registry.cache_clear()
    try:
        monkeypatch.setenv("SELFMOE_PLUGINS", "router-topk")
        findings = list(surroundings.plugins())
    finally:
        monkeypatch.undo()
        registry.cache_clear()
    assert [(f.found, f.state) for f in findings] == [
        ("1 ok, 1 components", "ok"),
        ("there is no base", "problem"),
        ("there is no domain", "problem"),
        ("there is no trainer", "problem"),
    ]
