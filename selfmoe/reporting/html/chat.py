"""The page of a server: one file that asks the server it came from, and nobody else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from selfmoe.reporting.html.templating import fill


def chat_page(title: str, default: str, *, turns: bool) -> tuple[str, str]:
    """Return the page, and the policy that lets its own script run and no other.

    Args:
        title: The run.
        default: The model that is chosen at first.
        turns: Whether earlier turns can be sent along.
    """
    hint = "Ask something" if turns else "Ask something; further lines are the input"
    page = fill("chat.html", title=title, default=default, turns="yes" if turns else "", hint=hint)
    script = (files("selfmoe.reporting.html") / "templates" / "chat.js").read_text("utf-8")
    digest = hashlib.sha256(script.removesuffix("\n").encode()).digest()
    allowed = f"'sha256-{base64.b64encode(digest).decode()}'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy
