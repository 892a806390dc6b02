"""Chat templates that write down the day: they are told a fixed one.

Else a prompt of tomorrow would not be the one that an expert was trained on today, and no key of a
cell would know. Templates ask by ``strftime_now(format)``, a function that transformers gives them.
"""

from __future__ import annotations

import re
from datetime import date

from selfmoe.contracts.errors import DataError

DAY = date(2024, 7, 26)
"""The day that is told; templates of Llama 3 write it where they are not told the present one."""

_ASKED = re.compile(r"\bstrftime_now\s*\(")
_FORMAT = re.compile(r"""\bstrftime_now\s*\(\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\)""")


def dated(source: str) -> str:
    """Return a template in which the day is always the same; one that asks for none as it is.

    Raises:
        DataError: If it asks in a format that only shows when it runs.
    """
    formats = ["".join(found) for found in _FORMAT.findall(source)]
    if len(formats) < len(_ASKED.findall(source)):
        raise DataError(
            "the base's chat template writes down the present day in a format that cannot be told "
            "before it runs\n  Set prompts.template to alpaca or plain."
        )
    if not formats:
        return source
    told = {wanted: DAY.strftime(wanted) for wanted in sorted(set(formats))}
    # The line's end behind a block is cut, so this line adds nothing to what is written.
    return f"{{% macro strftime_now(format) %}}{{{{ {told!r}[format] }}}}{{% endmacro %}}\n{source}"
