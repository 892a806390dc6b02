"""Random adapters are kept by all that they are made from."""

from __future__ import annotations

from pathlib import Path

import torch

from selfmoe.testing import models
from selfmoe.testing.models import random_adapter, tiny_llama


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_second_one_is_the_first_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_WRITTEN", {})
    first = contents(random_adapter(tiny_llama(), tmp_path / "first", seed=3))
    monkeypatch.setattr(models, "_WRITTEN", {})
    assert contents(random_adapter(tiny_llama(), tmp_path / "anew", seed=3)) == first
    monkeypatch.delattr(models, "_write_random")
    assert contents(random_adapter(tiny_llama(), tmp_path / "again", seed=3)) == first


def test_whatever_it_is_made_from_tells_it_from_others(tmp_path):
    whole = {"options": {"modules_to_save": ["lm_head"]}}  # holds weights of the base itself
    variants = [
        (0, {}), (0, {"seed": 1}), (0, {"r": 2}), (0, {"alpha": 4}), (0, {"std": 0.2}),
        (0, {"targets": ["q_proj"]}), (0, {"rslora": True}), (0, whole), (1, whole),
    ]  # fmt: skip
    found = [
        frozenset(contents(random_adapter(tiny_llama(seed), tmp_path / str(i), **how)).items())
        for i, (seed, how) in enumerate(variants)
    ]
    assert len(set(found)) == len(variants)


def test_no_random_number_is_used_up(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_WRITTEN", {})
    before = torch.random.get_rng_state()
    random_adapter(tiny_llama(), tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
