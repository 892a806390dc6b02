"""Ctrl-C at any moment ends in one message and exit code 130, whatever it is raised through."""

from __future__ import annotations

import pytest

WHILE_IMPORTING = """
import os, signal, sys

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
"""

TURNED = """
    def {method}(self, *arguments):
        import os, signal
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ModuleNotFoundError("Could not import module 'PreTrainedModel'") from None
"""


def check(done) -> None:
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "Interrupted; the same command goes on from here."


def test_while_libraries_are_imported(command, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WHILE_IMPORTING)
    check(command("list-plugins", paths=(tmp_path,)))


@pytest.mark.parametrize("method", ["benchmarks", "seeds"])
def test_turned_into_another_error(command, configure, tmp_path, plugin_code, method):
    path = configure()
    code = plugin_code.replace(
        '    name = "anything"\n', '    name = "anything"\n' + TURNED.format(method=method)
    )
    (tmp_path / "selfmoe_plugin.py").write_text(code)
    done = command("run", str(path))
    assert done.returncode == 130, done.stderr
    assert done.stderr.endswith("Interrupted; the same command goes on from here.\n")
    assert "ModuleNotFoundError" not in done.stderr
    assert not list(tmp_path.rglob("failure.txt"))
