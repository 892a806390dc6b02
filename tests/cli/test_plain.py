"""Output that cannot say everything says what it can."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from selfmoe.cli.plain import speak_plainly
from selfmoe.reporting.model import RunResults
from selfmoe.reporting.terminal.tables import print_results

DEMO = json.loads((Path(__file__).parents[2] / "results" / "demo.json").read_text("utf-8"))


def test_tables_in_ascii_keep_their_shape():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    speak_plainly(stream)
    print_results(RunResults.model_validate(DEMO), Console(file=stream, width=118))
    stream.flush()
    lines = stream.buffer.getvalue().decode("ascii").splitlines()
    table = [line for line in lines if "|" in line][:12]
    assert len({len(line) for line in table}) == 1
    assert any(re.search(r"~\d+ \(\d+\)", line) for line in table)


def test_what_has_no_likeness_is_escaped():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    speak_plainly(stream, None)
    stream.write("Über – 東")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\xdcber - \\u6771"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_command_fails_on_it(command, encoding):
    for arguments in (["list-plugins"], ["doctor"], ["run", "--dry-run", "--domains", "math"]):
        done = command(*arguments, LC_ALL="C", PYTHONIOENCODING=encoding)
        assert "Traceback" not in done.stderr
        assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_one_message(environment, tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "selfmoe", "list-plugins"],
            env=environment(), cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.stderr == "Error: cannot write what there is to say: No space left on device\n"
    assert done.returncode == 1


def test_summaries_are_shown_without_marks(cli):
    assert "`" not in cli("list-plugins").stdout
