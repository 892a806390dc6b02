"""The colours of experts: told apart by all common kinds of colour blindness, in both themes."""

from __future__ import annotations

COLOURS = (
    "#4477AA", "#EE7733", "#228833", "#AA3377", "#CCBB44", "#66CCEE",
    "#EE6677", "#44AA99", "#999933", "#999999",
)  # fmt: skip
"""After Paul Tol's qualitative schemes, https://personal.sron.nl/~pault/."""


def colour(index: int) -> str:
    """Return the colour of the expert with a position; beyond the last they come again."""
    return COLOURS[index % len(COLOURS)]


def style_class(index: int) -> str:
    """Return the CSS class of an expert; those that share a colour differ in their line."""
    again = index // len(COLOURS)
    return f"e{index % len(COLOURS)}" + (f" again{min(again, 2)}" if again else "")
