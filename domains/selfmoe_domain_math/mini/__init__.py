"""Mini track of the math domain: word problems of one to three steps with small numbers."""

from __future__ import annotations

from selfmoe.kits.domains import Style
from selfmoe_domain_math.mini import measures, money, things

STYLE: Style = "worked"

FAMILIES = (*things.FAMILIES, *money.FAMILIES, *measures.FAMILIES)
