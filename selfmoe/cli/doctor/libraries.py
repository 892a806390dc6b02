"""Check of the libraries: installed, as selfmoe asks for them, and of releases that are tested."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from selfmoe.cli.doctor.tested import NEWEST, window
from selfmoe.cli.findings import Finding


def libraries() -> Iterator[Finding]:
    """Compare what is installed with what selfmoe asks for and was tested with."""
    from importlib_metadata import PackageNotFoundError, requires, version

    try:
        needs = [Requirement(line) for line in requires("selfmoe") or []]
    except PackageNotFoundError:
        advice = "Install it, as with: pip install -e ."
        yield Finding("libraries", "selfmoe is importable, but not installed", "note", advice)
        return
    have = {need: _installed(need.name) for need in needs if _concerns(need)}
    odd = [finding for need in have if (finding := _judge(need, have[need]))]
    yield from odd
    right = len(have) - len(odd)
    yield Finding("libraries", f"selfmoe {version('selfmoe')}; {right} libraries as it needs them")


def _concerns(need: Requirement) -> bool:
    """Return whether selfmoe needs a library, or could use it and it is there."""
    if need.marker is None or need.marker.evaluate({"extra": ""}):
        return True
    return canonicalize_name(need.name) in NEWEST and bool(_installed(need.name))


def _installed(name: str) -> str:
    from importlib_metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _judge(need: Requirement, have: str) -> Finding | None:
    """Say what is wrong with a library; nothing if it is there and tested."""
    tested = window(need)
    if not have:
        found = f"{need.name} is not installed; needed: {need.specifier}"
    elif tested.is_older(have):
        found = f"{need.name} {have} is older than what is tested: {tested}"
    elif tested.is_newer(have):
        found = f"{need.name} {have} is newer than what is tested: {tested}"
    else:
        found = f"{need.name} {have}; needed: {need.specifier}"
    if not have or not need.specifier.contains(have, prereleases=True):
        advice = f"pip install '{need.name}{need.specifier}'"
        return Finding("libraries", found, "problem", advice)
    if not tested.is_newer(have):
        return None
    advice = f"Should something go wrong: pip install '{need.name}=={tested.newest}'"
    return Finding("libraries", found, "note", advice)
