"""Mini track of the coding domain: write f(x) from a description and an example."""

from __future__ import annotations

from selfmoe.kits.domains import Style
from selfmoe_domain_coding.mini import lists, numbers, texts

STYLE: Style = "code"

FAMILIES = (*lists.FAMILIES, *texts.FAMILIES, *numbers.FAMILIES)
