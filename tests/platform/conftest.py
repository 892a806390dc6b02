"""Distributions of others, as pip leaves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., Path]


@pytest.fixture(scope="session")
def install() -> Install:
    """Return what puts a distribution into a folder: ``install(site, name, code, requires="")``."""
    return _install


def _install(
    site: Path, name: str, code: str, *, requires: str = "", group: str = "selfmoe"
) -> Path:
    """Put a distribution with one entry point into a folder, as pip would leave it.

    Returns:
        Its metadata folder.
    """
    module = f"plugin_{name}".replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(code)
    metadata = site / f"selfmoe_{name}-1.2.dist-info".replace("-", "_", 1)
    metadata.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: selfmoe-{name}", "Version: 1.2"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    return metadata
