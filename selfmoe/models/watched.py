"""Whether something watches torch's operators, such as a count of what they cost."""

from __future__ import annotations

from torch.utils._python_dispatch import _get_current_dispatch_mode


def watched() -> bool:
    """Return whether operators are counted or recorded: then only those may run that are known."""
    return _get_current_dispatch_mode() is not None
