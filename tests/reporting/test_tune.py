"""Ways to train experts, compared: means and differences are those of the samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from selfmoe.config.resolve import resolve
from selfmoe.store.cells import Cells
from tune import row, scores_of, seconds, told

FOLDER = Path(__file__).parents[2] / "benchmarks"


def answered(run: Path, share: float) -> Cells:
    """Write samples of ten items beside every score, ``share`` of them right, one more at home."""
    manifest = json.loads((run / "manifest.json").read_text())
    for cells in manifest["cells"].values():
        for name, facts in cells.items():
            if name.startswith("evaluate/"):
                _, system, domain, _ = name.split("/")
                right = round(10 * share) + (system == f"expert-{domain}")
                rows = [{"id": f"{i}", "score": float(i < right)} for i in range(10)]
                text = "".join(json.dumps(one) + "\n" for one in rows)
                (run / facts["path"] / f"{domain}.mini.samples.jsonl").write_text(text)
    return Cells(run)


def test_experts_at_home_and_away_and_merges(fake_run: Callable[..., Path], tmp_path: Path) -> None:
    first = scores_of(answered(fake_run(tmp_path / "one", seeds=(0, 1)), 0.4))
    cells = answered(fake_run(tmp_path / "two", seeds=(0, 1)), 0.6)
    found = row(scores_of(cells), first)
    averages = {name: system["average"] for name, system in found["systems"].items()}
    assert averages == {"home": 0.7, "away": 0.6, "mixse": 0.6, "ties": 0.6}
    assert (found["items"], found["seeds"]) == (10, 2)
    assert found["systems"]["ties"]["scores"] == {"math/mini": 0.6, "coding/mini": 0.6}
    assert set(found["systems"]["away"]["scores"]) == {
        "expert-math coding/mini",
        "expert-coding math/mini",
    }
    assert found["systems"]["home"]["more"]["difference"] == pytest.approx(0.2)
    line = told({"specialise": {"trainer": "distill", "options": {"epochs": 2}}, **found})
    assert line.startswith("distill epochs 2: ") and "home 70.0% (+20.0%)" in line
    assert seconds(cells) == fmean(s["seconds"] for k, s in cells.seals() if k == "specialise")


@pytest.mark.parametrize("name", ["tuning-experts", "trainers", "trainers-sdft"])
def test_every_variant_of_a_file_is_a_possible_run(name: str) -> None:
    asked = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    for variant in asked["variants"]:
        config = resolve({**asked["run"], "specialise": variant})
        assert config.specialise.options["epochs"] == variant["options"]["epochs"]
        assert config.evaluate.split == "dev"
