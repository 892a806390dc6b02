"""X-LoRA's router: the formula, PEFT's own, and what it does that PEFT's does not."""

from __future__ import annotations

import pytest

from selfmoe.testing.composers import ComposerContract
from selfmoe_router_xlora import XLora

QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}


class TestContract(ComposerContract):
    @pytest.fixture(params=[{}, {"layerwise": True, "k": 1}, {"depth": 3, "size": 8, "k": 2}])
    def composer(self, request):
        return XLora(XLora.Config(**request.param, **QUICK))
