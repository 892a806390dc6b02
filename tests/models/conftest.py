"""What tests of several modules need of the processor."""

from __future__ import annotations

import pytest
import torch

from selfmoe.models import products


@pytest.fixture
def onednn_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this processor be one on which it pays to multiply with oneDNN."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("this torch is built without oneDNN")
    monkeypatch.setattr(products, "_pays", lambda: True)
