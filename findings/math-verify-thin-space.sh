#!/usr/bin/env bash
# math-verify 0.9.0 reads 12\,500, LaTeX's way to write 12 500 with a thin space, as 512.
# Expected: 12500, as it reads 12,500.
# Seen: both parts are added as if they were a whole and its fraction; a right answer counts as wrong.
#   12,500   read as 12500
#   12\,500  read as 512
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile "math-verify[antlr4_13_2]==0.9.0"
cat > show.py <<'END'
import sys

from math_verify import parse

read = {text: parse(f"${text}$")[0] for text in ("12,500", r"12\,500")}
for text, value in read.items():
    print(f"{text:8} read as {value}")
sys.exit(read[r"12\,500"] == 12500)
END
venv/bin/python -W ignore show.py
