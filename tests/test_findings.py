"""The form of `findings/`: what a script says and does. They are not run here: they download."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))


def test_the_readme_lists_all_and_no_other():
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1\.sh\)", (FOLDER / "README.md").read_text(), re.M)
    assert listed == [script.stem for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_finding_has_the_form(script: Path):
    text = script.read_text("utf-8")
    head = text.partition("set -euo pipefail\n")[0]
    assert re.search(r"^# .*\b\d+\.\d+\.\d+\b", head, re.M), "says no version"
    assert "\n# Expected: " in head
    assert "\n# Seen: " in head
    assert "\n#   " in head, "shows no output"
    assert "folder=$(mktemp -d)\ntrap 'rm -rf \"$folder\"' EXIT\n" in text
    assert "selfmoe" not in text
    packages = re.findall(r"pip install --quiet --no-compile (.*)", text)
    assert packages
    assert all("==" in package for line in packages for package in line.split())
    assert "sys.exit(" in text, "never tells that something has changed"
    subprocess.run(["bash", "-n", script], check=True)
