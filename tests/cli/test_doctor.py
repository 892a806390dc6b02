"""``selfmoe doctor``: says what is there, never fails by itself, never hangs."""

from __future__ import annotations

import ctypes
import json
import re
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import importlib_metadata
import pytest

from selfmoe.cli.doctor import examine as doctor
from selfmoe.cli.doctor import libraries, machine, surroundings, tested
from selfmoe.cli.findings import Finding
from selfmoe.mixture.forward.kernels.native import library
from selfmoe.registry.registry import registry


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
    old, missing, rest = libraries.libraries()
    assert old.found.startswith("torch 2.")
    assert old.advice == "pip install 'torch>=999'"
    assert (missing.state, missing.found) == (
        "problem",
        "no-such-library is not installed; needed: >=1",
    )
    assert rest.found.endswith("1 libraries as it needs them")


@pytest.fixture
def installed(monkeypatch):
    """Pretend that selfmoe needs some libraries and that there are some versions of them."""

    def pretend(needs, versions):
        versions = {**versions, "selfmoe": "0.1.0"}
        monkeypatch.setattr("importlib_metadata.requires", lambda name: needs)
        monkeypatch.setattr("importlib_metadata.version", versions.__getitem__)
        return list(libraries.libraries())

    return pretend


@pytest.mark.parametrize(
    ("need", "have", "state", "found"),
    [
        ("torch>=2.8", "2.7.1", "problem", "torch 2.7.1 is older than what is tested: 2.8 to 3.1"),
        ("torch>=2.8", "2.8.0+cpu", "ok", ""),
        ("torch>=2.8", "3.1.9", "ok", ""),  # mends what is tested
        ("torch>=2.8", "3.2.0", "note", "torch 3.2.0 is newer than what is tested: 2.8 to 3.1"),
        ("torch>=2.8", "3.2.0rc1+cu130", "note", "is newer than"),
        ("torch>=2.8,<3.2", "3.2.0", "problem", "is newer than what is tested: 2.8 to 3.1"),
        ("torch>=2.8,<3.1.1", "3.1.1", "problem", "is newer than what is tested: 2.8 to 3.1"),
        ("torch>=2.8,!=2.9.0", "2.9.0", "problem", "torch 2.9.0; needed: !=2.9.0,>=2.8"),
        ("torch", "0.1", "ok", ""),
        ("unheard-of>=1", "77", "ok", ""),  # the newest tested release is not known
        ("Jinja2>=2.8; extra == 'math'", "9", "note", "is newer than what is tested: 2.8 to 3.1"),
    ],
)
def test_a_library_outside_the_tested_window_is_named(
    installed, monkeypatch, need, have, state, found
):
    monkeypatch.setattr(tested, "NEWEST", {"torch": "3.1.0", "jinja2": "3.1.6"})
    monkeypatch.setattr(libraries, "NEWEST", tested.NEWEST)
    name = re.match(r"[\w-]+", need)[0]
    *odd, rest = installed([need], {name: have})
    assert [finding.state for finding in odd] == ([] if state == "ok" else [state])
    assert all(found in finding.found for finding in odd)
    assert rest.found.endswith(f"{int(state == 'ok')} libraries as it needs them")


def test_what_to_do_about_a_release_outside_the_window(installed):
    newest = tested.NEWEST["transformers"]
    advice = {}
    for have in ("5.22.1", "999.0"):
        for need in ("transformers>=5.23", "transformers>=5.23,<5.25"):
            odd = installed([need], {"transformers": have})[0]
            advice[need, have] = odd.advice
    assert advice["transformers>=5.23", "5.22.1"] == "pip install 'transformers>=5.23'"
    assert advice["transformers>=5.23,<5.25", "999.0"] == "pip install 'transformers<5.25,>=5.23'"
    expected = f"Should something go wrong: pip install 'transformers=={newest}'"
    assert advice["transformers>=5.23", "999.0"] == expected


def test_an_extra_that_is_not_installed_is_not_missed(monkeypatch):
    needs = ["no-such-library>=1; extra == 'math'", "sphinx>=999; extra == 'docs'", "click>=8"]
    monkeypatch.setattr("importlib_metadata.requires", lambda name: needs)
    (rest,) = libraries.libraries()
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
    monkeypatch.setattr("selfmoe.evaluation.sandbox.available_tiers", lambda: tiers)
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


@pytest.mark.parametrize("installed", [True, False])
def test_converted_bases_and_what_reads_gguf_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    def version(name: str) -> str:
        if not installed:
            raise importlib_metadata.PackageNotFoundError(name)
        return "0.19.0"

    monkeypatch.setattr(importlib_metadata, "version", version)
    monkeypatch.setenv("SELFMOE_CACHE", str(tmp_path))
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "x").write_bytes(bytes(3000))
    (finding,) = surroundings.gguf()
    assert f"converted bases: {tmp_path / 'gguf'}, " in finding.found
    assert finding.found.startswith("gguf 0.19.0;" if installed else "the package gguf is not")
    assert finding.advice.endswith("" if installed else "pip install 'selfmoe[gguf]'")
    assert finding.state == "ok"


@pytest.mark.parametrize(("there", "state"), [(True, "ok"), (False, "note")])
def test_the_native_operator_is_said(monkeypatch, there, state):
    found = library.Native(ctypes.CDLL(None) if there else None, "as told")
    monkeypatch.setattr(library, "native", lambda: found)
    (finding,) = machine.operator()
    assert (finding.found, finding.state, bool(finding.advice)) == ("as told", state, not there)
