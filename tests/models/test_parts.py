"""The parts that a step is read in: rows of like length, the same losses, the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selfmoe.contracts.fitting import FitConfig, FitReport
from selfmoe.contracts.records import Example
from selfmoe.models.fitting import batches, loop
from selfmoe.models.fitting.batches import Encoded, parts_of
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import states_of
from selfmoe.testing.models import tiny_base

CONFIG = FitConfig(lr=0.01, epochs=3, batch_size=6)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def mixed_lengths(n: int = 12) -> list[Example]:
    return [
        Example(f"{i}", "math", "Count.", "1 " * (7 * i % 31), "2 " * (i % 4)) for i in range(n)
    ]


def fit(work: Path, stop: int | None = None) -> tuple[FitReport | None, Mapping[str, Tensor]]:
    """Fit; stop as if killed after ``stop`` steps. Return the report and the parameters."""
    base = tiny_base()
    learns = {n: p.requires_grad_(True) for n, p in base.model.named_parameters() if "norm" in n}

    def progress(step: int, steps: int, text: str) -> None:
        if step - 1 == stop:
            raise KeyboardInterrupt

    try:
        report = Fit(progress, save_seconds=-1.0)(
            base.model, learns, mixed_lengths(), base, CONFIG, seed=5, work=work, label="test"
        )
    except KeyboardInterrupt:
        report = None
    return report, {name: parameter.detach().clone() for name, parameter in learns.items()}


def rows_of_lengths(*lengths: int) -> list[Encoded]:
    return [Encoded([7] * length, 1, f"{place}") for place, length in enumerate(lengths)]


@pytest.mark.parametrize(("size", "expected"), [
    (None, [[9], [5, 4], [2, 2, 2]]),
    (4, [[9, 5, 4, 2], [2, 2]]),
    (1, [[9], [5], [4], [2], [2], [2]]),
])  # fmt: skip
def test_parts_hold_rows_of_like_length(
    size: int | None, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_AT_ONCE_ON_CPUS", 10)
    rows = rows_of_lengths(2, 9, 2, 4, 5, 2)
    parts = parts_of(rows, size, torch.device("cpu"))
    assert [[len(row.ids) for row in part] for part in parts] == expected
    assert sorted(row.domain for part in parts for row in part) == [row.domain for row in rows]


def test_a_row_that_is_longer_than_a_part_is_one_by_itself() -> None:
    device = torch.device("cpu")
    assert [len(part) for part in parts_of(rows_of_lengths(99999, 1), None, device)] == [1, 1]


def test_deep_models_read_less_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_AT_ONCE_ON_CPUS", 10)
    monkeypatch.setattr(batches, "_STATES_ON_CPUS", 600)
    rows, cpu = rows_of_lengths(*[2] * 6), torch.device("cpu")
    sizes = [[len(part) for part in parts_of(rows, None, cpu, states=n)] for n in (60, 100, 9999)]
    assert sizes == [[5, 1], [3, 3], [1] * 6]
    assert states_of(tiny_base().model) == 3 * 32


def test_parts_leave_a_step_its_examples_and_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = fit(tmp_path / "whole")
    monkeypatch.setattr(batches, "_AT_ONCE_ON_CPUS", 600)
    seen: list[int] = []
    collated = loop.collate

    def spy(rows: Any, *arguments: Any) -> Any:
        seen.append(len(rows) * max(len(row.ids) for row in rows))
        return collated(rows, *arguments)

    monkeypatch.setattr(loop, "collate", spy)
    parted, _ = fit(tmp_path / "parted")
    assert whole is not None
    assert parted is not None
    assert parted.losses == pytest.approx(whole.losses, rel=1e-5)
    assert parted.tokens == whole.tokens
    assert len(seen) > 2 * len(parted.losses)
    assert max(seen) <= 600


@pytest.mark.parametrize("stop", [1, 3])
def test_a_fit_in_parts_ends_with_the_same_bits(
    tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_AT_ONCE_ON_CPUS", 600)
    _, whole = fit(tmp_path / "whole")
    assert fit(tmp_path / "broken", stop)[0] is None
    _, parts = fit(tmp_path / "broken")
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
