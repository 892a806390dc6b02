"""Checks of what selfmoe relies on: the sandbox, the Hugging Face hub, GGUF, the plugins."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from selfmoe.cli.findings import Finding
from selfmoe.models.gguf.header import INSTALL
from selfmoe.registry.registry import Kind, registry
from selfmoe.store.status import bytes_text

NEEDED: tuple[Kind, ...] = ("base", "domain", "trainer")
"""Kinds of components no run can do without."""

PATIENCE_S = 2.0
"""Longest wait for the hub, and longest time spent on measuring its cache, in seconds."""

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
"""Variables that keep the libraries from asking the hub."""


def sandbox() -> Iterator[Finding]:
    """Look for the best tier that stops its canary."""
    from selfmoe.evaluation.sandbox import TIERS, available_tiers

    if sys.platform != "linux":
        found = f"none: it needs Linux, this is {sys.platform}"
        advice = "Code benchmarks are not run here; score them on Linux, in a container or in WSL."
        yield Finding("sandbox", found, "note", advice)
        return
    tiers = available_tiers()
    best = next((tier for tier, reason in tiers.items() if reason is None), None)
    better = TIERS[: TIERS.index(best)] if best else TIERS
    reasons = "; ".join(f"{tier}: {tiers[tier]}" for tier in better)
    install = "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap)"
    if best is None:
        advice = f"{install} or allow user namespaces; until then code benchmarks are not run."
        yield Finding("sandbox", f"none: {reasons}", "note", advice)
    elif better:
        found = f"{best}: the canary was stopped ({reasons})"
        state: Literal["ok", "note"] = "note" if best == TIERS[-1] else "ok"
        yield Finding("sandbox", found, state, f"{install} for the best tier.")
    else:
        yield Finding("sandbox", f"{best}: the canary was stopped")


def hub() -> Iterator[Finding]:
    """Look whether the hub is asked and answers, at its cache, and for a token."""
    from huggingface_hub import get_token
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE

    true = ("1", "ON", "YES", "TRUE")
    off = [name for name in OFFLINE if os.environ.get(name, "").upper() in true]
    if off:
        advice = "Unset it to fetch bases and benchmarks."
        yield Finding("hub", f"not asked: {', '.join(off)} is set", "note", advice)
    elif within(PATIENCE_S, lambda: reaches(ENDPOINT)):
        yield Finding("hub", f"{ENDPOINT} answers")
    else:
        advice = "Name bases by folder and pass --data-dir; the shipped base needs no network."
        yield Finding("hub", f"{ENDPOINT} does not answer", "note", advice)
    yield Finding("hub cache", f"{HF_HUB_CACHE}, {_size_in_time(Path(HF_HUB_CACHE))}")
    has = get_token() is not None
    advice = "" if has else "Only gated models need one: hf auth login"
    yield Finding("hub token", "there is one" if has else "none", "ok", advice)


def gguf() -> Iterator[Finding]:
    """Look whether bases in GGUF can be read, and at the folders they were converted to."""
    from importlib_metadata import PackageNotFoundError, version

    from selfmoe.models.gguf.convert import cache

    try:
        found, advice = f"gguf {version('gguf')}", ""
    except PackageNotFoundError:
        found = "the package gguf is not installed"
        advice = f"Only bases in GGUF need it: {INSTALL}"
    kept = f"converted bases: {cache()}, {_size_in_time(cache())}"
    yield Finding("GGUF", f"{found}; {kept}", "ok", advice)


def reaches(url: str) -> bool:
    """Return whether a server answers, be it with an error."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(url, method="HEAD"), timeout=PATIENCE_S).close()
    except HTTPError:
        return True
    except (OSError, ValueError):  # URLError is an OSError
        return False
    return True


def within(seconds: float, ask: Callable[[], bool]) -> bool:
    """Return what ``ask`` says, or ``False`` if it takes longer: looking up a name may hang."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers and answers[0])


def _size_in_time(path: Path) -> str:
    """Return the size of a folder, or of as much of it as there is time for."""
    total, end = 0, time.monotonic() + PATIENCE_S
    for folder, _, files in os.walk(path):
        total += sum(Path(folder, name).lstat().st_size for name in files)
        if time.monotonic() > end:
            return f"more than {bytes_text(total)}"
    return bytes_text(total) if path.exists() else "not there yet"


def plugins() -> Iterator[Finding]:
    """Look which plugins load, and whether a run has what it cannot do without."""
    found = registry()
    good = sum(plugin.ok for plugin in found.plugins)
    yield Finding("plugins", f"{good} ok, {len(found.entries())} components")
    for plugin in found.plugins:
        if not plugin.ok:
            advice = f"Upgrade or uninstall {plugin.distribution}; selfmoe goes on without it."
            yield Finding("plugins", f"{plugin.name} is broken: {plugin.reason}", "note", advice)
    for kind in NEEDED:
        if not found.names(kind):
            advice = "Unset SELFMOE_PLUGINS, or install selfmoe again."
            yield Finding("plugins", f"there is no {kind}", "problem", advice)
