"""Mini track of the reasoning domain: problems that are easy in steps and hard at one glance."""

from __future__ import annotations

from selfmoe.kits.domains import Style
from selfmoe_domain_reasoning.mini import logic, order, rows, tracking

STYLE: Style = "worked"

FAMILIES = (*logic.FAMILIES, *tracking.FAMILIES, *order.FAMILIES, *rows.FAMILIES)
