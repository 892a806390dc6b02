"""Make figures, generated blocks of pages and the list of names: `python docs/update.py`."""

from __future__ import annotations

from _generate import pictures, surface
from _generate.blocks import ROOT, files, updated

if __name__ == "__main__":
    pictures.draw()
    for file in files():
        (ROOT / file).write_text(updated(file), "utf-8")
    (ROOT / surface.FILE).write_text(surface.frozen(), "utf-8")
