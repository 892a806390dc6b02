"""What Sphinx needs besides its own extensions: equations without scripts, current line counts."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

from _generate import tour
from _generate.blocks import replaced


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx; called by Sphinx itself."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("source-read", _count_lines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: Any, node: nodes.Element) -> None:
    writer.body.append(_equation(node, as_block=False))
    raise nodes.SkipNode


def _display(writer: Any, node: nodes.Element) -> None:
    writer.body.append(f'<div class="math">{_equation(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _equation(node: nodes.Element, *, as_block: bool) -> str:
    """Return an equation as MathML; one that cannot be written is a warning."""
    try:
        return str(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning("equation: %s", error, location=node)
        return ""


def _count_lines(app: Any, page: str, source: list[str]) -> None:
    """Add line counts to the reading order; as part of the page they would be stale at once."""
    if page == "reading-order":
        source[0] = replaced(source[0], "tour", tour.table_of_modules(counts=True), page)
