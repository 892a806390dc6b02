"""Facts about words, work and everyday things."""

from __future__ import annotations

from selfmoe.kits.domains import facts, lookup, member

_OPPOSITES = facts(
    """hot cold, big small, high low, long short, fast slow, old young, dark light, hard soft, wet
    dry, rich poor, full empty, loud quiet, early late, open closed, strong weak, thick thin, wide
    narrow, happy sad, clean dirty, near far, deep shallow, sweet sour, true
    false, brave timid, smooth rough"""
)
_OPPOSITE = _OPPOSITES | {right: left for left, right in _OPPOSITES.items()}
_WORK = facts(
    """baker bread, tailor clothes, carpenter furniture, farmer crops, painter pictures, writer
    books, potter pots, cobbler shoes, smith horseshoes, builder houses, cook meals, jeweller
    rings, brewer beer, composer music, gardener flowers, miner coal, fisher fish, weaver cloth,
    beekeeper honey, sculptor statues"""
)
_TOOL = facts(
    """nail hammer, screw screwdriver, wood saw, bread knife, soup spoon, letter pen, picture brush,
    lock key, grass mower, snow shovel, hair comb, time clock, heat thermometer, weight scales,
    stars telescope, cells microscope, north compass, rain umbrella"""
)
_COLOURS = {
    "red": ("blood", "tomato", "ruby", "cherry"),
    "yellow": ("banana", "lemon", "canary", "butter"),
    "white": ("snow", "milk", "salt", "chalk"),
    "green": ("grass", "emerald", "cucumber", "spinach"),
    "black": ("coal", "tar", "raven", "soot"),
    "blue": ("sky", "sapphire", "cornflower", "denim"),
}

FAMILIES = (
    lookup("opposites", _OPPOSITE, "What is the opposite of {}?", "The opposite of {} is {}."),
    lookup("work", _WORK, "What does a {} make or bring?", "The work of a {} brings {}."),
    lookup("tools", _TOOL, "Which thing goes with {}?", "With {} goes the {}."),
    member("colours", _COLOURS, "Which of these is {}?", "The colour of {} is {}."),
)
