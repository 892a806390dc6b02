"""The command line: one module or folder a command."""

from __future__ import annotations

import sys

from selfmoe.pipeline import interrupts

__all__ = ["main"]


def main() -> None:
    """Run the command line; Ctrl-C is answered from here on, while the rest is imported, too.

    Raises:
        SystemExit: With 130 after Ctrl-C, else with what the command ends with.
    """
    interrupts.watch()
    try:
        from selfmoe.cli.app import run

        run()
    except BaseException as error:
        ended = isinstance(error, SystemExit) and error.code in (None, 0, 130)
        if ended or not interrupts.interrupted():
            raise
        print(interrupts.SAID, file=sys.stderr)
        raise SystemExit(130) from None
