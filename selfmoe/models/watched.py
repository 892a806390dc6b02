"""Whether something watches torch's operators, such as a count of what they cost."""

from __future__ import annotations

from torch._C import _len_torch_dispatch_stack


def watched() -> bool:
    """Return whether operators are counted or recorded: then only those may run that are known."""
    return _len_torch_dispatch_stack() > 0
