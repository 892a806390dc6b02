"""Root seeds that were run in several directories are one run when their cells lie in one."""

from __future__ import annotations

import shutil

import pytest

from selfmoe.api import run as api
from selfmoe.store.directory import CELL_FOLDERS
from selfmoe.testing.fakes import ToyRouter
from selfmoe.testing.models import save_toy_base
from selfmoe.testing.runs import toy_run


@pytest.fixture
def of_seeds(tmp_path, monkeypatch):
    """Return what makes a toy run of root seeds in a folder of some name."""
    base = save_toy_base(tmp_path / "base")

    def make(seeds: list[int], name: str) -> api.Run:
        settings = {"seed": seeds}
        return toy_run(
            ToyRouter, base=base, out=tmp_path / name, patch=monkeypatch, settings=settings
        )

    return make


def test_nothing_is_left_to_do_where_cells_were_put_together(of_seeds, tmp_path):
    for seed in (0, 1):
        made = of_seeds([seed], f"seed-{seed}")
        for folder in CELL_FOLDERS.values():
            if (made.path / folder).is_dir():
                shutil.copytree(made.path / folder, tmp_path / "both" / folder, dirs_exist_ok=True)
    both, whole = of_seeds([0, 1], "both"), of_seeds([0, 1], "whole")
    assert (both.built, whole.built > 0) == (0, True)
    found, wanted = (run.results.model_copy(update={"seconds": {}}) for run in (both, whole))
    assert found == wanted
