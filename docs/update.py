"""Rewrite every generated block of the docs, README and model card: `python docs/update.py`."""

from __future__ import annotations

from _generate.blocks import ROOT, files, updated

if __name__ == "__main__":
    for file in files():
        (ROOT / file).write_text(updated(file), "utf-8")
