"""``python -m selfmoe`` is the ``selfmoe`` command."""

from selfmoe.cli import main

main()
