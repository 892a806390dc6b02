"""Mini track of the knowledge domain: questions about facts, with four options to choose from."""

from __future__ import annotations

from selfmoe.kits.domains import Style
from selfmoe_domain_knowledge.mini import nature, people, places

STYLE: Style = "bare"

FAMILIES = (*places.FAMILIES, *nature.FAMILIES, *people.FAMILIES)
