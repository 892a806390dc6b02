"""The executor of this machine holds its contract; so does the example of the hook."""

from __future__ import annotations

import importlib

import pytest

from _generate import quotes
from selfmoe.testing import ExecutorContract
from selfmoe_executor_local import Local


class TestLocal(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return Local(Local.Config(workers=2))


class TestExample(ExecutorContract):
    @pytest.fixture
    def executor(self, monkeypatch):
        monkeypatch.syspath_prepend(quotes.EXAMPLES / "hooks")
        return importlib.import_module("register_executors").Commands()
