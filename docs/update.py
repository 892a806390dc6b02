"""Make figures and generated blocks of docs, README and model card: `python docs/update.py`."""

from __future__ import annotations

from _generate import pictures
from _generate.blocks import ROOT, files, updated

if __name__ == "__main__":
    pictures.draw()
    for file in files():
        (ROOT / file).write_text(updated(file), "utf-8")
