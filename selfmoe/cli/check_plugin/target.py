"""What is checked: entry points, where their modules are, and how they are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from selfmoe import __version__
from selfmoe.cli.findings import Finding
from selfmoe.contracts.errors import did_you_mean
from selfmoe.registry.discovery import GROUP, OWN, requirement_problem


class Point(NamedTuple):
    """An entry point: its name, and the module or ``.py`` file it names."""

    name: str
    value: str


@dataclass(frozen=True)
class Target:
    """What is checked.

    Attributes:
        points: Its entry points.
        distribution: Its distribution; empty if it has none.
        version: Of the distribution.
        paths: Where its modules are, besides what is importable already.
        findings: What is to be said about how it is declared.
    """

    points: tuple[Point, ...]
    distribution: str = ""
    version: str = ""
    paths: tuple[Path, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        if self.distribution:
            return f"{self.distribution} {self.version}".strip()
        return ", ".join(point.name for point in self.points)


def group_in(groups: Mapping[str, object]) -> str:
    """Return the group of entry points that is, or is meant to be, that of plugins, if any is."""
    near = [group for group in groups if GROUP in group or did_you_mean(group, [GROUP])]
    return GROUP if GROUP in groups else next(iter(near), "")


def declared(group: str, where: str) -> Iterator[Finding]:
    """Yield what is wrong with a group of entry points; an empty name stands for none."""
    if group and group != GROUP:
        found = f"the group of the entry points is '{group}', selfmoe looks for '{GROUP}'"
        advice = f"Rename it, in pyproject.toml to [project.entry-points.{GROUP}]."
        yield Finding("entry points", found, "problem", advice)
    elif not group:
        found = f"{where} has no entry points of the group '{GROUP}'"
        advice = f'Add [project.entry-points.{GROUP}] with a line such as domain-x = "module".'
        yield Finding("entry points", found, "problem", advice)


def required(requirements: list[str], distribution: str) -> Iterator[Finding]:
    """Yield what is wrong with the requirements of a distribution."""
    if distribution == OWN:
        return
    if problem := requirement_problem(requirements, distribution):
        found, _, advice = problem.partition("; ")
        yield Finding("requirements", found, "problem", f"{advice[0].upper()}{advice[1:]}")
    elif OWN not in map(_name, requirements):
        advice = f'Add "selfmoe>={__version__}" to its dependencies.'
        yield Finding("requirements", f"{distribution} does not require selfmoe", "note", advice)


def _name(requirement: str) -> str:
    try:
        return canonicalize_name(Requirement(requirement).name)
    except InvalidRequirement:
        return ""
