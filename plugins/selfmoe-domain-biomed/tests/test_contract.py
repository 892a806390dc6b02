"""The contract for domains, on every source that biomed has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfmoe.contracts import Source
from selfmoe.testing import DomainContract
from selfmoe_domain_biomed import Biomed
from selfmoe_domain_biomed.pubmedqa import official_ids

REAL = Path(__file__).parents[4] / "shared" / "data"


class TestMini(DomainContract):
    n_seeds = 100

    @pytest.fixture
    def domain(self):
        return Biomed()

    def test_a_run_has_items_enough(self, benchmarks):
        assert len(benchmarks[0].items) >= 250


class TestMiniForTuning(TestMini):
    @pytest.fixture
    def source(self):
        return Source("mini", split="dev")


class TestPubMedQA(DomainContract):
    @pytest.fixture
    def domain(self):
        return Biomed()

    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files)


class TestPubMedQAForTuning(TestPubMedQA):
    @pytest.fixture
    def source(self, files):
        return Source("benchmark", files, "dev")


@pytest.mark.skipif(not (REAL / "pubmedqa").exists(), reason=f"no PubMedQA file in {REAL}")
class TestPubMedQAReal(TestPubMedQA):
    n_seeds = 100

    @pytest.fixture
    def source(self):
        return Source("benchmark", REAL)

    def test_its_items_are_those_of_the_official_test_set(self, benchmarks):
        rows = json.loads((REAL / "pubmedqa" / "ori_pqal.json").read_text("utf-8"))
        asked = {doc["id"].removeprefix("pubmedqa-") for doc in benchmarks[0].items}
        assert asked == official_ids() & set(rows)
        assert len(asked) > 200
