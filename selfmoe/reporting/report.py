"""The folder ``report/`` of a run: rebuilt from its cells whenever that is asked.

Nothing is made of it: no stage reads it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from selfmoe.reporting.results import read_results, write_results
from selfmoe.store.cells import Cells
from selfmoe.store.files import write_atomic

_PAGE = "index.html"
_HEAD = 2000
"""Characters in which the page says what it was made from."""


def write_report(run: Path, *, again: bool = False) -> Path:
    """Write ``report/results.json`` and ``report/index.html``, as far as they change.

    Args:
        run: The run's folder.
        again: Make the page again even if it looks current.

    Returns:
        The page.

    Raises:
        SelfmoeError: If the folder holds no run, a damaged one, or cannot be read or written.
    """
    Cells(run).check()
    write_results(run)
    page, state = run / "report" / _PAGE, _state(run)
    if again or not _is_current(page, state):
        from selfmoe.reporting.details import collect_details
        from selfmoe.reporting.html.page import run_page

        text = run_page(read_results(run), collect_details(Cells(run)), state)
        write_atomic(page, text)
    return page


def write_figures(run: Path) -> list[Path]:
    """Write the page's figures as PNG and PDF to ``report/figures/`` and return their paths.

    Raises:
        SelfmoeError: If the folder holds no run, a damaged one, or cannot be read or written.
    """
    from selfmoe.reporting.details import collect_details
    from selfmoe.reporting.figures import save_figures

    Cells(run).check()
    write_results(run)
    return save_figures(read_results(run), collect_details(Cells(run)), run / "report" / "figures")


def _is_current(page: Path, state: str) -> bool:
    try:
        with page.open(encoding="utf-8") as file:
            return f'content="{state}"' in file.read(_HEAD)
    except (OSError, UnicodeDecodeError):
        return False


def _state(run: Path) -> str:
    """Return a hash of what the page depends on: the manifest, the results, this package."""
    digest = hashlib.sha256()
    sources = [run / "manifest.json", run / "report" / "results.json"]
    sources += sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in _SOURCES)
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


_SOURCES = (".py", ".html", ".css")
