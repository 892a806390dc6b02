"""Routing by sequence: what it decides from, and that it never sees the answer."""

from __future__ import annotations

import pytest

from selfmoe.testing.composers import ComposerContract
from selfmoe_router_sequence import Sequence

QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}


class TestContract(ComposerContract):
    @pytest.fixture(params=[{}, {"inputs": "base", "k": 2, "train_k": "k"}])
    def composer(self, request):
        return Sequence(Sequence.Config(**request.param, **QUICK))
