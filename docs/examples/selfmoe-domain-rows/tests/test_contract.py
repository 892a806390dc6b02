"""The contract that selfmoe holds every domain to."""

from __future__ import annotations

import pytest
from selfmoe.testing import DomainContract

from selfmoe_domain_rows import RowsDomain


class TestRowsDomain(DomainContract):
    @pytest.fixture
    def domain(self):
        return RowsDomain()
