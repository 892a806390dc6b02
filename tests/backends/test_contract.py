"""The backend holds its contract, asking a real server; so does the example of the hook."""

from __future__ import annotations

import importlib

import pytest

from _generate import quotes
from selfmoe.testing import BackendContract
from selfmoe_backend_openai import OpenAI


class TestOpenAI(BackendContract):
    @pytest.fixture
    def base(self, base):
        return base

    @pytest.fixture
    def backend(self, served):
        return OpenAI(OpenAI.Config(base_url=served, model="demo/base"))


class TestExample(BackendContract):
    @pytest.fixture
    def backend(self, monkeypatch):
        monkeypatch.syspath_prepend(quotes.EXAMPLES / "hooks")
        return importlib.import_module("register_backends").Plainly()
