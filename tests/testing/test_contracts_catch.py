"""Every check of every contract fails on a component that breaks it, and on no other one."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from selfmoe.testing import (
    BackendContract,
    BaseContract,
    BenchmarkContract,
    ComponentContract,
    ComposerContract,
    DomainContract,
    ExecutorContract,
    TrainerContract,
)

FOLDER = Path(__file__).parent / "broken"
sys.path.insert(0, str(FOLDER))
try:
    from checks import BROKEN
finally:
    sys.path.remove(str(FOLDER))

CONTRACTS = [
    BackendContract,
    BaseContract,
    BenchmarkContract,
    ComponentContract,
    ComposerContract,
    DomainContract,
    ExecutorContract,
    TrainerContract,
]
Outcomes = dict[str, set[str]]


@pytest.fixture(scope="module")
def failed(
    tmp_path_factory: pytest.TempPathFactory, environment: Callable[..., dict[str, str]]
) -> Outcomes:
    """Return the checks that failed on each broken component."""
    folder = tmp_path_factory.mktemp("broken")
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "checks.py"]
    command += ["--tb=no", f"--basetemp={folder / 'temporary'}"]
    done = subprocess.run(
        [*command, "-o", "python_files=checks.py", "-o", "addopts=", f"--junitxml={report}"],
        cwd=FOLDER,
        env=environment(FOLDER),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert report.is_file(), done.stdout + done.stderr
    found: Outcomes = defaultdict(set)
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            found[case.attrib["classname"].rpartition(".")[2]].add(
                case.attrib["name"].partition("[")[0]
            )
    return found


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_fails_its_check_and_no_other(name: str, failed: Outcomes) -> None:
    _, cls = BROKEN[name]
    assert failed[name] == ({cls.fails} if cls.fails else set())


def unproven(contract: type) -> set[str]:
    """Return the checks of a contract that no broken component is there for."""
    checks = {name for name in dir(contract) if name.startswith("test_")}
    return checks - {cls.fails for _, cls in BROKEN.values()}


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_every_check_has_a_component_that_breaks_it(contract: type) -> None:
    assert unproven(contract) == set()


def test_a_check_without_one_is_noticed() -> None:
    more = type("More", (ComponentContract,), {"test_shines": lambda self: None})
    assert unproven(more) == {"test_shines"}
