#!/usr/bin/env bash
# torch 2.8.0: torch.compile takes the default of a class for what a thread has set.
# Expected: compiled code reads from an object of a threading.local class what the running thread has
# set there, as eager code does; or it refuses.
# Seen: an attribute with a default in the class body is read as that default, whatever was set on the
# object before. No warning. Attributes set in __init__ are read right, and so is all in 2.13.0.
#   eager 5.0, compiled 1.0; with the default set in __init__: compiled 5.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.8.0 numpy==2.2.6
cat > show.py <<'END'
import sys
import threading

import torch


class InTheClass(threading.local):
    scale = 1.0


class InInit(threading.local):
    def __init__(self):
        self.scale = 1.0


one, other = InTheClass(), InInit()
one.scale = other.scale = 5.0


def scaled(x):
    return x * one.scale


def scaled_too(x):
    return x * other.scale


x = torch.ones(())
eager = scaled(x).item()
compiled = torch.compile(scaled, backend="eager")(x).item()
right = torch.compile(scaled_too, backend="eager")(x).item()
print(f"eager {eager}, compiled {compiled}; with the default set in __init__: compiled {right}")
sys.exit(compiled == eager)
END
venv/bin/python -W ignore show.py
