"""``selfmoe check-plugin``: everything that is wrong with a plugin, for its author.

What can be read without running the plugin is read (``lookup``, ``project``). Then it is imported
in a process of its own with a time limit (``outside`` starts it, ``probe`` runs in it). So a plugin
that hangs, prints or ends the process does not do so here; it is no sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from selfmoe.cli.check_plugin.lookup import find
from selfmoe.cli.check_plugin.outside import Outcome, ask
from selfmoe.cli.check_plugin.target import Target
from selfmoe.cli.findings import Finding
from selfmoe.registry.discovery import OWN
from selfmoe.registry.inspection import clash

__all__ = ["Verdict", "check"]


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        name: The plugin, with its version if it is known.
        components: Kind and name of what it provides.
        findings: What is right and what is wrong; a *problem* is what selfmoe or the contract
            tests refuse, a *note* what they put up with.
    """

    name: str
    components: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]

    def count(self, state: str) -> int:
        """Return how many findings are of one state."""
        return sum(finding.state == state for finding in self.findings)


def check(text: str, timeout_s: float = 30.0) -> Verdict:
    """Return everything that can be said about a plugin.

    Args:
        text: A folder or file, or the name of an installed distribution or entry point.
        timeout_s: Longest time an entry point may take, in seconds.

    Raises:
        PluginError: If there is no plugin.
        UnknownNameError: If nothing of that name is installed.
    """
    target = find(text)
    outcomes = [ask(point, target, timeout_s) for point in target.points]
    components = tuple(component for one in outcomes for component in one.components)
    findings = [*target.findings, *(finding for one in outcomes for finding in one.findings)]
    findings += _twice(outcomes)
    findings += _scheme(target, components)
    return Verdict(str(target), components, tuple(findings))


def _twice(outcomes: list[Outcome]) -> Iterator[Finding]:
    """Yield the names that several entry points of one distribution provide."""
    owners: dict[tuple[str, str], str] = {}
    for outcome in outcomes:
        for kind, name in outcome.components:
            if other := owners.get((kind, name)):
                problem = clash(kind, name, f"the entry point {other}")  # type: ignore[arg-type]
                yield Finding("components", problem.text, "problem", problem.advice)
            owners[kind, name] = outcome.name


def _scheme(target: Target, components: tuple[tuple[str, str], ...]) -> Iterator[Finding]:
    """Yield that a distribution is not called after what it provides, if so."""
    name = canonicalize_name(target.distribution)
    kinds = {kind for kind, _ in components}
    form = f"selfmoe-{'-'.join(kinds)}-" if len(kinds) == 1 else "selfmoe-"
    if components and name not in ("", OWN) and not name.startswith(form):
        kind, its = components[0]
        advice = f"Call it selfmoe-{kind}-{its}, so that others find it."
        yield Finding("name", f"{name} does not follow selfmoe-KIND-NAME", "note", advice)
