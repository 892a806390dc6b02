"""The documentation builds without a warning, and asks nothing of any other machine."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc="(?:https?:)?//"""
    r"""|<link[^>]*\brel="(?:stylesheet|preload|icon)"[^>]*\shref="(?:https?:)?//"""
    r"""|@import|url\(["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return the built pages; built in this process, which has imported what they document."""
    pytest.importorskip("sphinx", reason="sphinx is not installed: pip install -e .[docs]")
    from sphinx.cmd.build import build_main

    folder = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-E", "-b", "html", "-d", str(folder / "doctrees")]
    said = io.StringIO()
    with contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about extensions, not of these pages
        ended = build_main([*options, str(ROOT / "docs"), str(folder / "html")])
    assert ended == 0, said.getvalue()
    return folder / "html"


def test_every_page_is_built(site, pages):
    assert {path.stem for path in site.glob("*.html")} >= set(pages)


def test_nothing_is_fetched_from_elsewhere(site):
    assert _FETCHED.search('<script async src="https://a.org/b.js">')
    assert _FETCHED.search('<link rel="stylesheet" type="text/css" href="//a.org/b.css" />')
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = _FETCHED.search(path.read_text("utf-8"))
        assert found is None, f"{path.name}: {found and found[0]}"


def test_equations_need_no_script(site):
    page = (site / "pipeline.html").read_text("utf-8")
    assert page.count("<math") > 50
    assert not [tag for tag in re.findall(r"<script[^>]*>", page) if "math" in tag.lower()]


def test_the_reading_order_shows_lines(site):
    page = (site / "reading-order.html").read_text("utf-8")
    lines = len((ROOT / "selfmoe" / "pipeline" / "plan.py").read_text("utf-8").splitlines())
    row = re.search(r"selfmoe/pipeline/plan\.py.*?</tr>", page, re.DOTALL)
    assert f"<p>{lines}</p>" in row[0]
